"""Server that imports TensorFlow and Keras once, and forks for every request.

It ends with the process that made its folder: the one that runs the tests.
"""

import array
import atexit
import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from tests.preloaded.protocol import NAMESPACES

#: File in the folder with the process id of the one that runs the tests.
OWNER = "owner"
_SIZE = 16


def main(folder: str, path: str, ready: int) -> None:
    """Import the packages, then serve the socket ``path`` until the owner of ``folder`` ends."""
    _preload()
    base = [entry for entry in sys.path if entry != os.environ.get("PYTHONPATH")]
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    os.write(ready, b"1")
    os.close(ready)
    owner = os.pidfd_open(int((Path(folder) / OWNER).read_text()))
    _Server(listener, owner, base).run()


def _preload() -> None:
    """Import what the processes of a run import, and nothing that starts a computation."""
    import keras
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.optimize  # noqa: F401
    import sklearn.metrics  # noqa: F401

    if keras.backend.backend() == "tensorflow":
        import tensorflow  # noqa: F401


class _Server:
    """Forks, and the connections whose clients wait for them."""

    def __init__(self, listener: socket.socket, owner: int, base: list[str]) -> None:
        self.listener = listener
        self.owner = owner
        self.base = base
        self.selector = selectors.DefaultSelector()
        #: Process id of a fork -> connection of its client.
        self.forks: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Serve until the owner ends, then kill the forks that are left."""
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.owner, selectors.EVENT_READ, self._end)
        while True:
            for key, _ in self.selector.select():
                key.data()

    def _end(self) -> None:
        for fork in self.forks:
            _send(fork, signal.SIGKILL)
        os._exit(0)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        try:
            request, descriptors = _received(connection)
        except (OSError, ValueError):  # the client was killed
            connection.close()
            return
        fork = os.fork()
        if fork == 0:
            self.selector.close()
            self.listener.close()
            os.close(self.owner)
            for other in self.forks.values():
                other.close()
            connection.close()
            _become(request, descriptors, self.base)
        for descriptor in descriptors:
            os.close(descriptor)
        self.forks[fork] = connection
        ended = os.pidfd_open(fork)
        self.selector.register(connection, selectors.EVENT_READ, lambda: self._heard(fork))
        self.selector.register(ended, selectors.EVENT_READ, lambda: self._ended(fork, ended))

    def _heard(self, fork: int) -> None:
        """Pass on a signal; a closed connection means that the client was killed."""
        connection = self.forks[fork]
        try:
            numbers = connection.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self.selector.unregister(connection)
        for number in numbers or bytes([signal.SIGKILL]):
            _send(fork, number)

    def _ended(self, fork: int, ended: int) -> None:
        """Report the exit status of a fork to its client."""
        self.selector.unregister(ended)
        os.close(ended)
        _, raw = os.waitpid(fork, 0)
        connection = self.forks.pop(fork)
        with contextlib.suppress(KeyError):
            self.selector.unregister(connection)
        with contextlib.suppress(OSError):
            status = os.waitstatus_to_exitcode(raw)
            connection.sendall(status.to_bytes(4, "little", signed=True))
        connection.close()


def _send(fork: int, number: int) -> None:
    """Send a signal to a fork, and SIGKILL to its children too."""
    with contextlib.suppress(ProcessLookupError):
        if number == signal.SIGKILL:
            os.killpg(fork, number)
        else:
            os.kill(fork, number)


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    descriptors = array.array("i")
    room = socket.CMSG_SPACE((3 + len(NAMESPACES)) * descriptors.itemsize)
    size, ancillary, _, _ = connection.recvmsg(_SIZE, room)
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    body = b""
    while len(body) < int(size):
        part = connection.recv(1 << 16)
        if not part:
            raise ValueError("the client has gone")
        body += part
    return json.loads(body.decode("utf-8", "surrogateescape")), list(descriptors)


def _become(request: dict[str, Any], descriptors: list[int], base: list[str]) -> None:
    """Turn this fork into the process that its client stands for, and end."""
    status = 1
    try:
        for kind in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(kind, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        for target, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, target)
        _join(descriptors[3:])
        for descriptor in descriptors:
            os.close(descriptor)
        os.umask(request["umask"])
        os.chdir(request["folder"])
        environment = request["environment"]
        os.environ.clear()
        os.environ.update(environment)
        extra = [entry for entry in environment.get("PYTHONPATH", "").split(":") if entry]
        here = [] if environment.get("PYTHONSAFEPATH") else [request["folder"]]
        sys.path[:] = [*here, *extra, *base]
        sys.path_importer_cache.clear()
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]
        for name in ("stdin", "stdout", "stderr"):
            number = ("stdin", "stdout", "stderr").index(name)
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        sys.argv = [request["module"], *request["arguments"]]
        status = _run(request["module"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run(module: str) -> int:
    """Run ``module`` as the program of this process, and return the exit status."""
    try:
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _join(namespaces: list[int]) -> None:
    """Join the namespaces of the client, unless they are those of this process."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    for kind, descriptor in zip(NAMESPACES, namespaces, strict=True):
        if os.fstat(descriptor).st_ino == Path(f"/proc/self/ns/{kind}").stat().st_ino:
            continue
        if library.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), f"the namespace {kind} cannot be joined")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
