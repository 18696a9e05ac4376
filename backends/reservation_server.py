"""TensorFlowOnSpark's reservations, read by nobody and from nobody without the run's secret.

What its code does (TensorFlowOnSpark 2.2): the driver's server and the workers send each other
pickles, so that whoever reaches the server can run code on the driver; it listens on every address
of the machine and reads from one caller at a time, so that a silent one keeps all others waiting;
it tells each caller the keys of the workers' queues, and logs them.
"""

import hmac
import logging
import pickle
import secrets
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from backends.calls import answer_calls, hang_up, trust
from backends.ports import LOOPBACK

_BACKLOG = 128
_LENGTH = struct.Struct(">I")
_DIGEST = "sha256"
_SEAL_BYTES = 32
#: Largest message in bytes: the list of all workers takes about 300 for each.
_LARGEST = 2**24

#: A function over the rows of a partition, as Spark runs it on an executor.
_Work = Callable[[Iterable[Any]], Any]


@contextmanager
def reservations_on(address: str) -> Iterator[None]:
    """Let ``TFCluster`` listen for its workers on ``address`` alone, with a secret of its own.

    As long as this lasts, which must be until the cluster has been shut down. The workers get the
    secret within their tasks, whose way is Spark's. The server's port is the one in
    ``TFOS_SERVER_PORT``, or the first free one of a range there, as ever.
    """
    from tensorflowonspark import TFSparkNode, reservation

    key = secrets.token_bytes(_SEAL_BYTES)
    host = address if address == LOOPBACK else None

    class Sealed(reservation.Server):
        def start(self) -> tuple[str, int]:
            self._listener = self.start_listening_socket()
            answer_calls(self._listener, self._answer, "reservations")
            return self.get_server_ip(), self._listener.getsockname()[1]

        def start_listening_socket(self) -> socket.socket:
            failure: OSError | None = None
            for port in self.get_server_ports():
                try:
                    return socket.create_server((address, port), backlog=_BACKLOG)
                except OSError as error:
                    failure = error
            raise OSError(f"no reservation server on {address}: {failure}")

        def stop(self) -> None:
            super().stop()
            hang_up(self._listener)

        def _answer(self, line: socket.socket) -> None:
            with line, suppress(OSError, EOFError):
                while True:
                    message = self.receive(line)
                    trust(line)
                    self._handle_message(line, message)

    originals = {name: getattr(TFSparkNode, name) for name in ("run", "train", "shutdown")}
    server, reservation.Server = reservation.Server, Sealed
    for name, original in originals.items():
        setattr(TFSparkNode, name, _sealing(original, key, host))
    try:
        with _sealed(key, host):
            yield
    finally:
        reservation.Server = server
        for name, original in originals.items():
            setattr(TFSparkNode, name, original)


def _sealing(make_work: Callable[..., _Work], key: bytes, host: str | None) -> Callable[..., _Work]:
    """Return ``make_work`` but that the work it makes for executors seals its messages."""

    def make(*args: Any, **values: Any) -> _Work:
        return partial(_work_sealed, key, host, make_work(*args, **values))

    return make


def _work_sealed(key: bytes, host: str | None, work: _Work, rows: Iterable[Any]) -> Any:
    """Do ``work`` on an executor."""
    with _sealed(key, host):
        return work(rows)


@contextmanager
def _sealed(key: bytes, host: str | None) -> Iterator[None]:
    """Let TensorFlowOnSpark seal each message with ``key`` and read none without its seal.

    Parameters
    ----------
    host
        This machine's address for the workers, where it is known; by default it is the one from
        which the internet would be reached, which a machine need not have.
    """
    from tensorflowonspark import reservation, util

    ends = reservation.MessageSocket
    originals = ends.send, ends.receive, util.get_ip_address
    ends.send = lambda _, line, message: _send(line, message, key)
    ends.receive = lambda _, line: _receive(line, key)
    if host is not None:
        util.get_ip_address = lambda: host
    log = logging.getLogger("tensorflowonspark")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ends.send, ends.receive, util.get_ip_address = originals
        log.setLevel(level)


def _send(line: socket.socket, message: Any, key: bytes) -> None:
    body = pickle.dumps(message)
    line.sendall(_LENGTH.pack(len(body)) + hmac.digest(key, body, _DIGEST) + body)


def _receive(line: socket.socket, key: bytes) -> Any:
    """Return the next message.

    Raises
    ------
    ConnectionError
        When it is too large or not sealed with ``key``; it has not been unpickled then.
    EOFError
        When the line ends.
    """
    (length,) = _LENGTH.unpack(_read(line, _LENGTH.size))
    if length > _LARGEST:
        raise ConnectionError(f"a message of {length} bytes")
    seal, body = _read(line, _SEAL_BYTES), _read(line, length)
    if not hmac.compare_digest(seal, hmac.digest(key, body, _DIGEST)):
        raise ConnectionError("a message without the seal of this run")
    return pickle.loads(body)


def _read(line: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        part = line.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return bytes(read)
