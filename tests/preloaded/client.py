"""Program in the place of the interpreter: asks the server for a fork, or starts the interpreter.

Its arguments are those of an interpreter. It stands for the fork: signals are forwarded to the
fork, the exit status is that of the fork, and if this process is killed, so is the fork.
"""

import array
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is slow
sys.path.insert(0, os.path.dirname(os.path.dirname(_HERE)))  # noqa: PTH120

from tests.preloaded import protocol  # noqa: E402

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> None:
    """Run ``client.py <interpreter> <folder> <argument> ...``."""
    interpreter, folder, *arguments = sys.argv[1:]
    asked = protocol.module_of(arguments)
    owner = os.stat(folder).st_uid if os.path.isdir(folder) else None  # noqa: PTH112, PTH116
    if asked is None or owner != os.geteuid():
        os.execv(interpreter, [interpreter, *arguments])
    connection = _connect(interpreter, folder)
    _ask(connection, *asked)
    sys.exit(_wait(connection))


def _connect(interpreter: str, folder: str) -> socket.socket:
    """Return a connection to the server, which is started if it does not run yet."""
    variables = protocol.read_variables(os.environ)
    path = protocol.address(folder, variables)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with open(f"{path}.lock", "w") as lock:  # noqa: PTH123 - pathlib is slow to import
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connection.connect(path)
        except OSError:
            _start(interpreter, folder, path, variables)
            connection.connect(path)
    return connection


def _start(interpreter: str, folder: str, path: str, variables: dict[str, str]) -> None:
    """Start a server with ``variables`` and wait until it listens."""
    # Not the whole environment: tests look for processes by the variables of their runs.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    root = os.path.dirname(os.path.dirname(_HERE))  # noqa: PTH120
    reader, writer = os.pipe()
    with open(f"{path}.log", "ab") as log:  # noqa: PTH123
        subprocess.Popen(
            [interpreter, "-m", "tests.preloaded.server", folder, path, str(writer)],
            # Keras creates its folder where KERAS_HOME, which may be relative, says.
            cwd=folder,
            env={**environment, **variables, "PYTHONPATH": root},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    if os.read(reader, 1) != b"1":
        sys.exit(f"the preloaded interpreter did not start, see {path}.log")
    os.close(reader)


def _ask(connection: socket.socket, module: str, arguments: list[str]) -> None:
    """Send the request with the standard streams and the namespaces of this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    descriptors = [0, 1, 2]
    for kind in protocol.NAMESPACES:
        descriptors.append(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY))
    request = {
        "module": module,
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109
        "umask": umask,
    }
    body = json.dumps(request).encode("utf-8", "surrogateescape")
    packed = array.array("i", descriptors)
    connection.sendmsg([b"%16d" % len(body)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)])
    connection.sendall(body)


def _wait(connection: socket.socket) -> int:
    """Forward signals to the fork until it ends, and return its exit status."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for kind in _FORWARDED:
        signal.signal(kind, lambda *_: None)
    while True:
        ready, _, _ = select.select([woken, connection.fileno()], [], [])
        if woken in ready:
            for number in os.read(woken, 64):
                if number in _FORWARDED:
                    connection.sendall(bytes([number]))
        if connection.fileno() in ready:
            answer = connection.recv(4)
            status = int.from_bytes(answer, "little", signed=True) if answer else 1
            if status < 0:  # ended by a signal
                signal.set_wakeup_fd(-1)
                if -status not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(-status, signal.SIG_DFL)
                os.kill(os.getpid(), -status)
            return status


if __name__ == "__main__":
    main()
