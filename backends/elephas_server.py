"""Elephas's parameter server and its clients: for the workers of one run, and never in their way.

What its code does (Elephas 7.3): the server gives its weights to whoever asks and takes updates
from whoever sends them; the clients ask the proxy in ``http_proxy`` for it; an update is read from
the network while the lock on the weights is held, and the lock of a request that fails is never
given back, so that one worker lost in the middle of an update stops all others for good; the
server is a forked process that nobody ends when training fails or the driver is killed, and that
keeps the driver's JVM alive with it.
"""

import ctypes
import hmac
import os
import signal
import socket
from collections.abc import Callable
from functools import wraps
from multiprocessing import Process
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from elephas.parameter.client import HttpClient
from elephas.parameter.server import HttpServer
from elephas.utils.serialization import bytes_to_weights, weights_to_bytes
from flask import Flask, abort, request
from werkzeug.serving import WSGIRequestHandler

_PR_SET_PDEATHSIG = 1
_SECRET = "X-Run-Secret"  # pragma: allowlist secret
#: Seconds that a caller may say nothing in the middle of a request.
_SILENCE_LIMIT = 120
_OPENER = build_opener(ProxyHandler({}))


class ParameterServer(HttpServer):
    """Elephas's own server over HTTP but for its door, its locks and its end."""

    def __init__(self, model: dict[str, Any], address: tuple[str, int], mode: str, secret: str):
        """Listen at once, on a free port where that of ``address`` is 0.

        Nobody else can then take the port between its choice and the start, and be sent the secret
        by the workers. Without Flask's debugger, which would run anybody's code.

        Raises
        ------
        OSError
            When the address is not free.
        """
        self._listener = socket.create_server(address)
        super().__init__(model, self._listener.getsockname()[1], mode, debug=False)
        self._secret = secret.encode()
        # A daemon, for Python's exit waits for all others.
        self.server = Process(target=self._serve, args=[os.getpid()], daemon=True)

    def start(self) -> None:
        """Start the process that serves; it alone holds the port then."""
        super().start()
        self._listener.close()

    @property
    def app(self) -> Flask:
        """Flask's application, which Elephas makes in the process that serves."""
        return self._app

    @app.setter
    def app(self, app: Flask) -> None:
        app.before_request(self._refuse_strangers)
        # An update has the size of the weights.
        app.config["MAX_CONTENT_LENGTH"] = len(weights_to_bytes(self.weights))
        self._app = app

    def make_threadsafe_if_necessary(
        self, func: Callable[..., Any], lock_aquire_callable: Callable[[], None]
    ) -> Callable[..., Any]:
        """Take the lock when the whole request is there, and give it back in any case."""
        if self.mode != "asynchronous":
            return func

        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            request.get_data()
            lock_aquire_callable()
            try:
                return func(*args, **kwargs)
            finally:
                self.lock.release()

        return wrapper

    def _refuse_strangers(self) -> None:
        """Refuse a request without the run's secret before its body is read."""
        told = request.headers.get(_SECRET, "").encode()
        if not hmac.compare_digest(told, self._secret):
            abort(403)

    def _serve(self, driver: int) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != driver:  # it died before the kernel was asked
            return
        WSGIRequestHandler.timeout = _SILENCE_LIMIT
        # So werkzeug serves on a socket that is there already.
        os.environ |= {
            "WERKZEUG_RUN_MAIN": "true",
            "WERKZEUG_SERVER_FD": str(self._listener.fileno()),
        }
        self.start_flask_service()


class ParameterClient(HttpClient):
    """Elephas's own client, with the run's secret and without a proxy.

    Workers get it within their tasks, whose way is Spark's.
    """

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(port)
        self.headers[_SECRET] = secret

    def get_parameters(self) -> list[np.ndarray]:
        """Return the server's weights."""
        return bytes_to_weights(self._ask("parameters"))

    def update_parameters(self, delta: list[np.ndarray]) -> bytes:
        """Have the server subtract ``delta`` from its weights."""
        return self._ask("update", weights_to_bytes(delta))

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        asked = Request(f"http://{self.master_url}/{path}", data=body, headers=self.headers)
        with _OPENER.open(asked) as answer:
            return bytes(answer.read())
