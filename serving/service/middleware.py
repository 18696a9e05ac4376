"""Processing of every request before its route: id, key, limits, headers, log and metrics."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.service.admission import Admission
from serving.service.errors import RequestError
from serving.service.keys import HEALTH_PATHS, needs_key, presents_key
from serving.service.logs import LOGGER, log
from serving.service.metrics import Metrics
from serving.service.responses import API_POLICY, SECURITY_HEADERS, error_response
from serving.service.settings import Limits

#: Ids of requests that are taken over from the client; others could forge lines of a log.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
#: Status of a request whose client has gone; not sent.
_CLIENT_GONE = 499


class Gateway:
    """Outermost layer: no exception and no response passes without it.

    Parameters
    ----------
    app
        Application behind it.
    metrics
        Metrics of the service.
    keys
        API keys; empty accepts all requests.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Sequence[bytes] = ()) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = scope["request_id"] = _request_id(scope["headers"])
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            await send(message)

        try:
            self._check_key(scope)
            await self._app(scope, receive, send_with_headers)
        except RequestError as error:
            await error_response(error, request_id)(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception:
            LOGGER.exception("internal error", extra={"fields": {"request_id": request_id}})
            if status == 0:
                failure = RequestError(
                    500, f"internal error: the log has the reason under {request_id}"
                )
                await error_response(failure, request_id)(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - began, request_id)

    def _check_key(self, scope: Scope) -> None:
        if not self._keys or not needs_key(scope["path"]):
            return
        if not presents_key(scope["headers"], self._keys):
            raise RequestError(
                401,
                "an API key is needed: send it as the header X-API-Key",
                {"WWW-Authenticate": "Bearer"},
            )

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.request(route, status, seconds)
        log(
            "request",
            logging.DEBUG if route in HEALTH_PATHS else logging.INFO,
            request_id=request_id,
            method=scope["method"],
            route=route,
            status=status,
            ms=round(1000 * seconds, 2),
            bytes=scope.get("body_bytes", 0),
        )


class BodyLimit:
    """Bounds the size of a body and the time that it takes to arrive.

    Parameters
    ----------
    app
        Application behind it.
    limits
        Limits.
    admission
        Counts the bytes of all bodies in progress.
    """

    def __init__(self, app: ASGIApp, limits: Limits, admission: Admission) -> None:
        self._app = app
        self._limits = limits
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._check_length(scope)
        deadline = asyncio.get_running_loop().time() + self._limits.body_seconds
        held, is_complete = 0, False

        async def bounded() -> Message:
            nonlocal held, is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestError(
                    408, f"the body did not arrive within {self._limits.body_seconds:g} s"
                ) from None
            count = len(message.get("body", b""))
            if held + count > self._limits.body_bytes:
                raise self._too_large()
            self._admission.hold(count)
            held += count
            scope["body_bytes"] = held
            is_complete = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._admission.release(held)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._limits.body_bytes:
                raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self._limits.body_bytes / 2**20:g} MB")


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex


def _add_headers(message: Any, request_id: str) -> None:
    headers = [*message.get("headers", ()), *SECURITY_HEADERS]
    headers.append((b"x-request-id", request_id.encode()))
    names = {name for name, _ in headers}
    if b"content-security-policy" not in names:
        headers.append((b"content-security-policy", API_POLICY))
    if b"cache-control" not in names:
        headers.append((b"cache-control", b"no-store"))
    message["headers"] = headers
