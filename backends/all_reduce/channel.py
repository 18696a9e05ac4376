"""Connection from each worker to the driver for epochs, weights and original error messages.

Neither framework provides one. Task results and accumulators of Spark arrive only when the task has
ended, and a folder would have to be shared between machines. The channel is a TCP connection to
``spark.driver.host``, which executors must be able to reach in any case. Both ends prove that they
have a random key (``multiprocessing.connection``), and received data are never unpickled. If a
worker dies, its connection breaks and the driver detects it immediately; if the driver dies, the
worker exits. The failure of a whole machine is detected after ``LINK_LIMIT`` seconds.
"""

import io
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    answer_challenge,
    deliver_challenge,
    wait,
)
from typing import Any

import numpy as np

from backends.connections import accept_connections, stop_accepting, trust

#: Maximum time in seconds that the driver waits for messages before it checks other conditions.
POLL_SECONDS = 0.2
#: Seconds that a worker waits for the driver to acknowledge the end.
_GOODBYE_LIMIT = 20.0
#: Seconds without a response from the other machine after which the kernel, which sends keep-alive
#: probes, closes the connection. Shorter network outages are tolerated; an unreachable host is not
#: detected in any other way.
LINK_LIMIT = 45
_FIRST_PROBE, _PROBE_SECONDS = 15, 5
#: Exit status of a worker that has lost its driver.
DRIVER_GONE = 76


@dataclass(frozen=True)
class Address:
    """Address and key of the driver, which the workers receive with their job."""

    host: str
    port: int
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Message:
    """Message from a worker; the kind ``lost`` means that its connection has broken."""

    rank: int
    kind: str
    content: dict[str, Any]
    arrays: list[np.ndarray]


class DriverEnd:
    """Driver's end of the connections to ``workers`` workers.

    As a context manager, it closes all connections at the end.
    """

    def __init__(self, bind: str, host: str, workers: int) -> None:
        self._key = secrets.token_bytes(32)
        self._listener = socket.create_server((bind, 0), backlog=workers)
        self.address = Address(host, int(self._listener.getsockname()[1]), self._key)
        self._lock = threading.Lock()
        self._new: list[Connection] = []
        #: Rank of the worker by connection; None until its first message.
        self._connections: dict[Any, int | None] = {}
        accept_connections(self._listener, self._admit, "worker-channel")

    def __enter__(self) -> "DriverEnd":
        return self

    def __exit__(self, *_: object) -> None:
        stop_accepting(self._listener)
        for connection in [*self._connections, *self._new]:
            connection.close()

    def messages(self) -> list[Message]:
        """Return the first messages that arrive within ``POLL_SECONDS``, without waiting for more.

        The list is empty if none arrives.
        """
        with self._lock:
            self._connections.update(dict.fromkeys(self._new))
            self._new.clear()
        if not self._connections:
            time.sleep(POLL_SECONDS)
            return []
        ready = wait([*self._connections], POLL_SECONDS)
        return [message for connection in ready for message in self._read(connection)]

    def _read(self, connection: Any) -> Iterator[Message]:
        try:
            head, _, body = connection.recv_bytes().partition(b"\n")
        except (EOFError, OSError):
            rank = self._connections.pop(connection)
            connection.close()
            if rank is not None:
                yield Message(rank, "lost", {}, [])
            return
        content = json.loads(head)
        kind, rank = content.pop("kind"), content.pop("rank")
        self._connections[connection] = rank
        if kind == "done":
            # The worker disconnects after the goodbye, which must not count as a loss.
            connection.send_bytes(b"goodbye")
            del self._connections[connection]
            connection.close()
        yield Message(rank, kind, content, _unpack(body))

    def _admit(self, peer: socket.socket) -> None:
        """Accept a peer that has the key, and disconnect any other."""
        with peer:
            connection = authenticated(peer, self._key)
        if connection is not None:
            with self._lock:
                self._new.append(connection)


class WorkerEnd:
    """Worker's end of its connection to the driver.

    As a context manager, it reports an exception to the driver before it propagates it.
    """

    def __init__(self, address: Address, rank: int) -> None:
        self._rank = rank
        try:
            self._connection = Client((address.host, address.port), authkey=address.key)
            enable_keepalive(self._connection)
        except OSError as error:
            raise ConnectionError(
                f"worker {rank} on {socket.gethostname()} cannot reach the driver at "
                f"{address.host}:{address.port} ({error}): spark.driver.host must be an address "
                "that executors can reach"
            ) from error
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._end_with_driver, daemon=True)
        self._watch.start()
        self.send("hello", host=socket.gethostname())

    def __enter__(self) -> "WorkerEnd":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        import traceback

        self._closing.set()
        if error is None:
            self.send("done")
            self._watch.join(_GOODBYE_LIMIT)
        else:
            self.send(
                "error",
                error=type(error).__name__,
                text=str(error),
                traceback="".join(traceback.format_exception(error)),
            )

    def send(self, kind: str, arrays: Sequence[np.ndarray] = (), **content: Any) -> None:
        """Send a message to the driver; return without waiting for its arrival."""
        head = json.dumps({"kind": kind, "rank": self._rank, **content}).encode()
        self._connection.send_bytes(head + b"\n" + _pack(arrays))

    def _end_with_driver(self) -> None:
        """Exit this process when the driver disconnects, since its results are no longer needed.

        A worker that waits in a collective operation, or for data, detects this in no other way.
        """
        try:
            self._connection.recv_bytes()
        except (EOFError, OSError):
            if not self._closing.is_set():
                os._exit(DRIVER_GONE)


def authenticated(peer: socket.socket, key: bytes) -> Connection | None:
    """Return a connection to a peer that proves to have ``key``, or None for any other.

    The caller closes ``peer``; the connection stays open.
    """
    connection = Connection(os.dup(peer.fileno()))
    try:
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
        trust(peer)
        enable_keepalive(connection)
    except (AuthenticationError, EOFError, OSError):
        connection.close()
        return None
    return connection


def enable_keepalive(connection: Connection) -> None:
    """Make the kernel close ``connection`` if the other machine does not respond."""
    with socket.socket(fileno=os.dup(connection.fileno())) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _FIRST_PROBE)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
        link.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_KEEPCNT, (LINK_LIMIT - _FIRST_PROBE) // _PROBE_SECONDS
        )


def _pack(arrays: Sequence[np.ndarray]) -> bytes:
    if not arrays:
        return b""
    stream = io.BytesIO()
    np.savez(stream, *arrays)
    return stream.getvalue()


def _unpack(body: bytes) -> list[np.ndarray]:
    if not body:
        return []
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        return [archive[f"arr_{number}"] for number in range(len(archive.files))]
