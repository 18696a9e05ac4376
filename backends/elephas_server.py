"""Elephas's parameter server, so that it neither waits for lost workers nor outlives the driver.

What its code does (Elephas 7.3): an update is read from the network while the lock on the weights
is held, and the lock of a request that fails is never given back, so that one worker lost in the
middle of an update stops all others for good; the server is a forked process that nobody ends when
training fails or the driver is killed, and that keeps the driver's JVM alive with it.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from functools import wraps
from multiprocessing import Process
from typing import Any

from elephas.parameter.server import HttpServer
from flask import request

_PR_SET_PDEATHSIG = 1


class ParameterServer(HttpServer):
    """Elephas's own server over HTTP but for its locks and its end."""

    def __init__(self, model: dict[str, Any], port: int, mode: str, **kwargs: Any) -> None:
        """As Elephas's; without Flask's debugger, which would run anybody's code."""
        super().__init__(model, port, mode, debug=False, **kwargs)
        # A daemon, for Python's exit waits for all others.
        self.server = Process(target=self._serve, args=[os.getpid()], daemon=True)

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

    def _serve(self, driver: int) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != driver:  # it died before the kernel was asked
            return
        self.start_flask_service()
