"""TensorFlowOnSpark's reservation server, with messages authenticated by a secret of the run.

This module works around these properties of TensorFlowOnSpark 2.2:

- The server on the driver and the workers exchange pickles, so every client that can connect to
  the server can run code on the driver.
- The server listens on every address of the machine.
- The server reads from one client at a time, so an idle client blocks all others.
- The server sends the keys of the workers' queues to every client, and logs them.
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

from backends.connections import accept_connections, stop_accepting, trust
from backends.ports import LOOPBACK

_BACKLOG = 128
_LENGTH = struct.Struct(">I")
_DIGEST = "sha256"
_CODE_BYTES = 32
#: Maximum size of a message in bytes; the list of all workers takes about 300 bytes for each.
_LARGEST = 2**24

#: Function of the rows of a partition, which Spark runs on an executor.
_Work = Callable[[Iterable[Any]], Any]


@contextmanager
def reservations_on(address: str) -> Iterator[None]:
    """Make ``TFCluster`` listen for its workers only on ``address``, with a secret of its own.

    The context must last until the cluster has been shut down. Spark sends the secret to the
    workers as part of their tasks. The port of the server is still the one in
    ``TFOS_SERVER_PORT``, or the first free one if that variable contains a range.
    """
    from tensorflowonspark import TFSparkNode, reservation

    key = secrets.token_bytes(_CODE_BYTES)
    host = address if address == LOOPBACK else None

    class AuthenticatingServer(reservation.Server):
        def start(self) -> tuple[str, int]:
            self._listener = self.start_listening_socket()
            accept_connections(self._listener, self._serve, "reservations")
            return self.get_server_ip(), self._listener.getsockname()[1]

        def start_listening_socket(self) -> socket.socket:
            failure: OSError | None = None
            for port in self.get_server_ports():
                try:
                    return socket.create_server((address, port), backlog=_BACKLOG)
                except OSError as error:
                    failure = error
            raise OSError(f"the reservation server cannot listen on {address}: {failure}")

        def stop(self) -> None:
            super().stop()
            stop_accepting(self._listener)

        def _serve(self, connection: socket.socket) -> None:
            with connection, suppress(OSError, EOFError):
                while True:
                    message = self.receive(connection)
                    trust(connection)
                    self._handle_message(connection, message)

    originals = {name: getattr(TFSparkNode, name) for name in ("run", "train", "shutdown")}
    server, reservation.Server = reservation.Server, AuthenticatingServer
    for name, original in originals.items():
        setattr(TFSparkNode, name, _authenticating(original, key, host))
    try:
        with _authenticated(key, host):
            yield
    finally:
        reservation.Server = server
        for name, original in originals.items():
            setattr(TFSparkNode, name, original)


def _authenticating(
    make_work: Callable[..., _Work], key: bytes, host: str | None
) -> Callable[..., _Work]:
    """Return a variant of ``make_work`` whose functions authenticate messages on executors."""

    def make(*args: Any, **values: Any) -> _Work:
        return partial(_authenticated_work, key, host, make_work(*args, **values))

    return make


def _authenticated_work(key: bytes, host: str | None, work: _Work, rows: Iterable[Any]) -> Any:
    """Call ``work`` on an executor."""
    with _authenticated(key, host):
        return work(rows)


@contextmanager
def _authenticated(key: bytes, host: str | None) -> Iterator[None]:
    """Make TensorFlowOnSpark authenticate each message it sends, and reject others on receipt.

    Parameters
    ----------
    key
        Key of the message authentication codes (HMAC).
    host
        Address of this machine for the workers, if it is known. The default of TensorFlowOnSpark
        is the address from which this machine reaches the internet, which does not always exist.
    """
    from tensorflowonspark import reservation, util

    ends = reservation.MessageSocket
    originals = ends.send, ends.receive, util.get_ip_address
    ends.send = lambda _, connection, message: _send(connection, message, key)
    ends.receive = lambda _, connection: _receive(connection, key)
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


def _send(connection: socket.socket, message: Any, key: bytes) -> None:
    body = pickle.dumps(message)
    connection.sendall(_LENGTH.pack(len(body)) + hmac.digest(key, body, _DIGEST) + body)


def _receive(connection: socket.socket, key: bytes) -> Any:
    """Return the next message.

    Raises
    ------
    ConnectionError
        If the message is too large or not authenticated with ``key``; it is not unpickled.
    EOFError
        If the connection has been closed.
    """
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    if length > _LARGEST:
        raise ConnectionError(f"a message of {length} bytes exceeds the limit of {_LARGEST}")
    code, body = _read(connection, _CODE_BYTES), _read(connection, length)
    if not hmac.compare_digest(code, hmac.digest(key, body, _DIGEST)):
        raise ConnectionError("a message is not authenticated with the secret of this run")
    return pickle.loads(body)


def _read(connection: socket.socket, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        part = connection.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return bytes(read)
