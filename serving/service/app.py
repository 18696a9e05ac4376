"""The application: routes, layers around them, and what runs from its start to its end."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.errors import ServingError
from serving.service.errors import RequestError
from serving.service.keys import read_keys
from serving.service.loading import load, watch
from serving.service.logs import log
from serving.service.metrics import Metrics
from serving.service.middleware import BodyLimit, Gateway
from serving.service.protocol import HEAD_SECONDS
from serving.service.responses import error_response, request_id_of
from serving.service.routes import health, invocations, pages, prediction
from serving.service.server import LOAD_FAILED
from serving.service.settings import Settings
from serving.service.state import Service
from serving.service.tasks import Threads

_DESCRIPTION = """Class probabilities of images from a trained network.

The body of `/invocations` is the content of an image file, or JSON with images in base64.
`/predict` takes a form with several files. Not a medical device."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application.

    Its model is loaded in the background once it has started; until then it is not ready.

    Parameters
    ----------
    settings
        Settings.

    Raises
    ------
    ServingError
        If the file of API keys is not usable.
    """
    keys = read_keys(settings.api_key_file) if settings.api_key_file else ()
    metrics = Metrics()
    service = Service(settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        threads = Threads(len(os.sched_getaffinity(0)))
        with _drained_on_termination(service):
            running = asyncio.create_task(_run_model(service, threads))
            yield {HEAD_SECONDS: settings.limits.head_seconds}
        running.cancel()
        threads.close()

    app = FastAPI(
        title="Prediction service",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(invocations.router(service))
    app.include_router(prediction.router(service))
    app.include_router(health.router(service))
    pages.add_pages(app)
    # The last added is the outermost.
    app.add_middleware(BodyLimit, limits=settings.limits, admission=service.admission)
    app.add_middleware(Gateway, metrics=metrics, keys=keys)
    app.add_exception_handler(RequestError, _report)
    app.add_exception_handler(HTTPException, _report_status)
    return app


async def _report(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error, request_id_of(request.scope))


async def _report_status(request: Request, error: Exception) -> Response:
    """Report a path or method that does not exist like all other errors."""
    assert isinstance(error, HTTPException)
    reason = str(error.detail).lower()
    return error_response(
        RequestError(error.status_code, reason, error.headers), request_id_of(request.scope)
    )


async def _run_model(service: Service, threads: Threads) -> None:
    """Load the model, then look for newer versions if that is wanted."""
    began = time.monotonic()
    try:
        predictor = await load(service.settings, threads, service.metrics)
    except ServingError as error:
        _end_without_model(str(error))
    except Exception as error:  # a damaged file raises whatever its library raises
        _end_without_model(f"the model cannot be loaded: {type(error).__name__}: {error}")
    else:
        service.serve(predictor)
        name = predictor.source.name or predictor.card.name
        log(
            "ready",
            model=name,
            version=predictor.source.version,
            engine=predictor.engine,
            seconds=round(time.monotonic() - began, 3),
        )
        if service.settings.reload is not None:
            await watch(service, service.settings.reload, threads)


def _end_without_model(reason: str) -> None:
    """End this process, which has nothing to serve."""
    log(" ".join(reason.split()), 40)
    os._exit(LOAD_FAILED)


class _drained_on_termination:  # noqa: N801 - a context manager
    """Context in which SIGTERM first makes the service not ready, and ends it after a while.

    Load balancers notice within that time and send no more requests. uvicorn then closes the
    listening socket, and waits for requests in progress.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def __enter__(self) -> None:
        self._end = signal.getsignal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        try:
            signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(self._drain, loop))
        except ValueError:  # not the main thread, as in tests
            self._end = None

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            signal.signal(signal.SIGTERM, self._end)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        was_draining, self._service.is_draining = self._service.is_draining, True
        log("draining", in_progress=self._service.admission.images)
        delay = 0.0 if was_draining else self._service.settings.drain_seconds
        loop.call_later(delay, self._finish)

    def _finish(self) -> None:
        if callable(self._end):
            self._end(signal.SIGTERM, None)
