"""A line from each worker to the driver: epochs as they end, weights, errors in their own words.

Neither framework has one. Spark's own ways back (a task's result, an accumulator) speak only when
the task has ended, and a folder would have to be shared between machines. The line is a TCP
connection to ``spark.driver.host``, which executors reach anyway; both ends prove that they know
a random key (``multiprocessing.connection``), and nothing that arrives is unpickled. When a
worker dies, its line breaks at once and the driver knows; when the driver dies, the worker ends.
A machine that is gone says nothing: the driver notices it after ``LINK_LIMIT`` seconds.
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

from backends.calls import answer_calls, hang_up, trust

#: Seconds between two looks at things other than the lines.
LOOK = 0.2
#: Seconds that a worker waits for the driver's goodbye.
_GOODBYE_LIMIT = 20.0
#: Seconds without a sign of the other machine after which a line is taken for broken: the kernel
#: asks for one itself. A network may be away for less, and nothing else tells of a host that is.
LINK_LIMIT = 45
_FIRST_PROBE, _PROBE_SECONDS = 15, 5
#: Exit status of a worker whose driver is gone.
DRIVER_GONE = 76


@dataclass(frozen=True)
class Address:
    """Where the driver listens; given to the workers with their work."""

    host: str
    port: int
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Message:
    """What a worker said, or, with the kind ``lost``, that its line broke."""

    rank: int
    kind: str
    content: dict[str, Any]
    arrays: list[np.ndarray]


class DriverEnd:
    """Listens for ``workers`` workers; a context manager that hangs up at the end."""

    def __init__(self, bind: str, host: str, workers: int) -> None:
        self._key = secrets.token_bytes(32)
        self._listener = socket.create_server((bind, 0), backlog=workers)
        self.address = Address(host, int(self._listener.getsockname()[1]), self._key)
        self._lock = threading.Lock()
        self._new: list[Connection] = []
        self._lines: dict[Any, int | None] = {}
        answer_calls(self._listener, self._admit, "worker-channel")

    def __enter__(self) -> "DriverEnd":
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._listener)
        for line in [*self._lines, *self._new]:
            line.close()

    def messages(self) -> list[Message]:
        """Return what was said within the next ``LOOK`` seconds, without waiting for more."""
        with self._lock:
            self._lines.update(dict.fromkeys(self._new))
            self._new.clear()
        if not self._lines:
            time.sleep(LOOK)
            return []
        return [message for line in wait([*self._lines], LOOK) for message in self._read(line)]

    def _read(self, line: Any) -> Iterator[Message]:
        try:
            head, _, body = line.recv_bytes().partition(b"\n")
        except (EOFError, OSError):
            rank = self._lines.pop(line)
            line.close()
            if rank is not None:
                yield Message(rank, "lost", {}, [])
            return
        content = json.loads(head)
        kind, rank = content.pop("kind"), content.pop("rank")
        self._lines[line] = rank
        if kind == "done":
            # What follows the goodbye, an end of the line, is no loss.
            line.send_bytes(b"goodbye")
            del self._lines[line]
            line.close()
        yield Message(rank, kind, content, _unpack(body))

    def _admit(self, caller: socket.socket) -> None:
        """Let in who knows the key, and hang up on everybody else."""
        with caller:
            line = Connection(os.dup(caller.fileno()))
            try:
                deliver_challenge(line, self._key)
                answer_challenge(line, self._key)
                trust(caller)
                _watch_link(line)
            except (AuthenticationError, EOFError, OSError):
                line.close()
                return
        with self._lock:
            self._new.append(line)


class WorkerEnd:
    """A worker's line; a context manager that reports an exception before it passes it on."""

    def __init__(self, address: Address, rank: int) -> None:
        self._rank = rank
        try:
            self._line = Client((address.host, address.port), authkey=address.key)
            _watch_link(self._line)
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
        """Say something; returns when it is on its way."""
        head = json.dumps({"kind": kind, "rank": self._rank, **content}).encode()
        self._line.send_bytes(head + b"\n" + _pack(arrays))

    def _end_with_driver(self) -> None:
        """End this process when the driver hangs up: nobody waits for what it computes.

        A worker that waits in a collective operation, or for data, notices nothing else.
        """
        try:
            self._line.recv_bytes()
        except (EOFError, OSError):
            if not self._closing.is_set():
                os._exit(DRIVER_GONE)


def _watch_link(line: Connection) -> None:
    """Let the kernel break ``line`` when the other machine is gone."""
    with socket.socket(fileno=os.dup(line.fileno())) as link:
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
