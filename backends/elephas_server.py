"""Elephas's parameter server and its client, restricted to the workers of one run.

This module works around these properties of Elephas 7.3:

- The server sends its weights to every client and applies every update that it receives.
- The clients connect through the proxy in ``http_proxy``.
- An update is read from the network while the lock on the weights is held, and a failed request
  never releases the lock, so that a worker lost during an update blocks all others permanently.
- The server is a forked process that is not stopped when training fails or the driver is killed,
  and that keeps the JVM of the driver alive.
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
#: Seconds without data after which an incomplete request is aborted.
_SILENCE_LIMIT = 120
_OPENER = build_opener(ProxyHandler({}))


class ParameterServer(HttpServer):
    """Elephas's HTTP server with authentication, safe locking and termination with the driver."""

    def __init__(self, model: dict[str, Any], address: tuple[str, int], mode: str, secret: str):
        """Listen immediately, on a free port if the port of ``address`` is 0.

        Thus no other process can take the port between its choice and the start of the server, and
        receive the secret from the workers. Flask's debugger, which executes code from clients, is
        disabled.

        Raises
        ------
        OSError
            If the address is in use.
        """
        self._listener = socket.create_server(address)
        super().__init__(model, self._listener.getsockname()[1], mode, debug=False)
        self._secret = secret.encode()
        # A daemon process, because Python waits for all others when it exits.
        self.server = Process(target=self._serve, args=[os.getpid()], daemon=True)

    def start(self) -> None:
        """Start the server process, and close the port in this process."""
        super().start()
        self._listener.close()

    @property
    def app(self) -> Flask:
        """Flask application, which Elephas creates in the server process."""
        return self._app

    @app.setter
    def app(self, app: Flask) -> None:
        app.before_request(self._require_secret)
        # An update is as large as the weights.
        app.config["MAX_CONTENT_LENGTH"] = len(weights_to_bytes(self.weights))
        self._app = app

    def make_threadsafe_if_necessary(
        self, func: Callable[..., Any], lock_aquire_callable: Callable[[], None]
    ) -> Callable[..., Any]:
        """Acquire the lock after the whole request has arrived, and always release it."""
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

    def _require_secret(self) -> None:
        """Reject a request without the secret of the run before its body is read."""
        received = request.headers.get(_SECRET, "").encode()
        if not hmac.compare_digest(received, self._secret):
            abort(403)

    def _serve(self, driver: int) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != driver:  # the driver died before prctl was called
            return
        WSGIRequestHandler.timeout = _SILENCE_LIMIT
        # These variables make werkzeug serve on an existing socket.
        os.environ |= {
            "WERKZEUG_RUN_MAIN": "true",
            "WERKZEUG_SERVER_FD": str(self._listener.fileno()),
        }
        self.start_flask_service()


class ParameterClient(HttpClient):
    """Elephas's client, with the secret of the run and without a proxy.

    Spark sends it to the workers as part of their tasks.
    """

    def __init__(self, port: int, secret: str) -> None:
        super().__init__(port)
        self.headers[_SECRET] = secret

    def get_parameters(self) -> list[np.ndarray]:
        """Return the weights of the server."""
        return bytes_to_weights(self._request("parameters"))

    def update_parameters(self, delta: list[np.ndarray]) -> bytes:
        """Send ``delta``, which the server subtracts from its weights."""
        return self._request("update", weights_to_bytes(delta))

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        outgoing = Request(f"http://{self.master_url}/{path}", data=body, headers=self.headers)
        with _OPENER.open(outgoing) as response:
            return bytes(response.read())
