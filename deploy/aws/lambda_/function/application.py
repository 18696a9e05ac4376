"""Requests of an HTTP API (payload format 2.0) and the responses to them."""

import base64
import binascii
import hashlib
import hmac
import json
import time
import traceback
from collections.abc import Mapping
from typing import Any

from deploy.aws.lambda_.function import predictions
from deploy.aws.lambda_.function.endpoint import Endpoint
from deploy.aws.lambda_.function.forms import read_form
from deploy.aws.lambda_.function.pages import Pages
from deploy.aws.lambda_.function.problem import ProblemError
from deploy.aws.lambda_.function.settings import Settings

#: Seconds that remain for the answer when the time for the endpoint is over.
_RESERVE_SECONDS = 2.0
#: Seconds for which the card of the endpoint is kept, whose model may change.
_CARD_SECONDS = 300.0
_JSON = "application/json"
_FORM = "multipart/form-data"
#: Path -> method of the routes that need an API key, if there are keys.
_ROUTES = {"/model": "GET", "/examples": "GET", "/predict": "POST", "/explain": "POST"}

Response = dict[str, Any]


class Application:
    """The page, the model card and the predictions of an endpoint.

    Parameters
    ----------
    settings
        Settings.
    pages
        The page.
    endpoint
        The endpoint.
    """

    def __init__(self, settings: Settings, pages: Pages, endpoint: Endpoint) -> None:
        self._settings = settings
        self._pages = pages
        self._endpoint = endpoint
        self._asked: tuple[float, dict[str, Any]] | None = None

    def answer(self, event: Mapping[str, Any], seconds: float) -> Response:
        """Return the response to a request; no exception leaves this method.

        Parameters
        ----------
        event
            Request as API Gateway passes it.
        seconds
            Time until Lambda ends the function.
        """
        began = time.monotonic()
        request_id = str(event.get("requestContext", {}).get("requestId", ""))
        details = ""
        try:
            response = self._route(event, began + seconds - _RESERVE_SECONDS, request_id)
        except ProblemError as error:
            details = error.details
            response = _error(error, request_id)
        except Exception:
            details = traceback.format_exc()
            reason = f"internal error: the log has the reason under {request_id}"
            response = _error(ProblemError(500, reason), request_id)
        self._add_headers(response, request_id)
        _log(event, response["statusCode"], time.monotonic() - began, request_id, details)
        return response

    def _route(self, event: Mapping[str, Any], deadline: float, request_id: str) -> Response:
        http = event["requestContext"]["http"]
        path, method = str(event["rawPath"]), str(http["method"])
        headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
        reading = method in ("GET", "HEAD")
        if reading and (page := self._pages.find(path)) is not None:
            policy = self._settings.page_policy if path == "/" else self._settings.api_policy
            own = {"cache-control": "no-cache", "etag": page.tag, "content-security-policy": policy}
            if headers.get("if-none-match") == page.tag:
                return _response(304, b"", page.media_type, own)
            return _response(
                200, page.content if method == "GET" else b"", page.media_type, own, binary=True
            )
        if path not in _ROUTES:
            raise ProblemError(404, "not found")
        if _ROUTES[path] != ("GET" if reading else method):
            raise ProblemError(405, "method not allowed")
        self._check_key(headers)
        if path == "/explain":
            raise ProblemError(501, "an endpoint cannot explain: serve the model itself")
        if path == "/predict":
            return self._predict(event, headers, deadline, request_id)
        document = self._card() if path == "/model" else self._pages.examples()
        body = json.dumps(document, ensure_ascii=False).encode()
        return _response(200, body if method == "GET" else b"", _JSON)

    def _predict(
        self, event: Mapping[str, Any], headers: dict[str, str], deadline: float, request_id: str
    ) -> Response:
        files = self._files(headers.get("content-type", ""), self._body(event))
        if not files:
            raise ProblemError(400, "the request has no images")
        card = self._card()
        results = self._endpoint.classify(
            [content for _, content in files],
            len(card["class_names"]),
            max(0.0, deadline - time.monotonic()),
        )
        document, status = predictions.document(
            card, self._settings.disclaimer, [name for name, _ in files], results
        )
        problems = [one for one in results if isinstance(one, ProblemError)]
        for text in sorted({one.details for one in problems} - {""}):
            _print(message="endpoint", request_id=request_id, details=text)
        own = _retry(problems[0]) if status == 503 else {}
        body = json.dumps({**document, "request_id": request_id}, ensure_ascii=False).encode()
        return _response(status, body, _JSON, own)

    def _body(self, event: Mapping[str, Any]) -> bytes:
        text = event.get("body") or ""
        if not event.get("isBase64Encoded"):
            body = text.encode()
        else:
            try:
                body = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise ProblemError(400, "the body cannot be decoded") from None
        if len(body) > self._settings.body_bytes:
            raise ProblemError(
                413, f"the body exceeds {self._settings.body_bytes / 1e6:g} MB: send fewer images"
            )
        return body

    def _files(self, content_type: str, body: bytes) -> list[tuple[str, bytes]]:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == _FORM:
            return read_form(content_type, body, self._settings.fields, self._settings.images)
        if kind in self._settings.image_types:
            return [("", body)] if body else []
        raise ProblemError(
            415,
            "send a form (multipart/form-data) with the images, or the content of one image file "
            "as application/x-image",
        )

    def _card(self) -> dict[str, Any]:
        if self._settings.card is not None:
            return self._settings.card
        if self._asked is None or time.monotonic() - self._asked[0] > _CARD_SECONDS:
            own = {
                "version": "",
                "engine": "endpoint",
                "explains": False,
                "disclaimer": self._settings.disclaimer,
            }
            self._asked = (time.monotonic(), self._endpoint.card() | own)
        return self._asked[1]

    def _check_key(self, headers: dict[str, str]) -> None:
        if not self._settings.key_digests:
            return
        scheme, _, token = headers.get("authorization", "").strip().partition(" ")
        given = [headers.get("x-api-key", ""), token if scheme.lower() == "bearer" else ""]
        digests = [hashlib.sha256(one.strip().encode()).hexdigest() for one in given if one]
        # All comparisons are made: the position of a matching key must not show in the time.
        matches = [
            hmac.compare_digest(one, key) for one in digests for key in self._settings.key_digests
        ]
        if not any(matches):
            raise ProblemError(401, "an API key is needed: send it as the header X-API-Key")

    def _add_headers(self, response: Response, request_id: str) -> None:
        response["headers"] = {
            "cache-control": "no-store",
            "content-security-policy": self._settings.api_policy,
            **self._settings.headers,
            **response["headers"],
            "x-request-id": request_id,
        }


def _response(
    status: int,
    body: bytes,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    *,
    binary: bool = False,
) -> Response:
    text = base64.b64encode(body).decode() if binary else body.decode()
    return {
        "statusCode": status,
        "headers": {"content-type": media_type, **(headers or {})},
        "body": text,
        "isBase64Encoded": binary,
    }


def _error(error: ProblemError, request_id: str) -> Response:
    body = {"error": error.reason, "message": error.reason, "request_id": request_id}
    own = _retry(error)
    if error.status == 401:
        own["www-authenticate"] = "Bearer"
    return _response(error.status, json.dumps(body, ensure_ascii=False).encode(), _JSON, own)


def _retry(error: ProblemError) -> dict[str, str]:
    return {} if error.retry_seconds is None else {"retry-after": str(error.retry_seconds)}


def _log(
    event: Mapping[str, Any], status: int, seconds: float, request_id: str, details: str
) -> None:
    """Write one line about a request, with nothing of its content."""
    http = event.get("requestContext", {}).get("http", {})
    path = event.get("rawPath")
    route = path if path in _ROUTES or path == "/" else "other"
    _print(
        message="request",
        request_id=request_id,
        method=str(http.get("method", "")),
        route=route,
        status=status,
        ms=round(1000 * seconds, 1),
        bytes=len(event.get("body") or ""),
        **({"details": details} if details else {}),
    )


def _print(**values: Any) -> None:
    print(json.dumps(values), flush=True)  # Lambda writes the standard output to the log
