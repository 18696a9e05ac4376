"""Clients that load a service: each sends its next request when it has the answer to the last."""

import itertools
import random
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Seconds after which a request has failed.
_LIMIT = 60.0


@dataclass(frozen=True)
class Answered:
    """One answered request."""

    #: Number of the request in the list of requests.
    request: int
    #: HTTP status; 0 if the connection failed.
    status: int
    seconds: float


def http_request(url: str, content: bytes, media_type: str) -> bytes:
    """Return a whole POST request, so that clients spend no time on building it."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def load(
    url: str, requests: Sequence[bytes], *, clients: int, seconds: float, seed: int = 0
) -> list[Answered]:
    """Send requests for a time and return what was answered.

    Parameters
    ----------
    url
        Any address of the service.
    requests
        Whole requests from `http_request`; each client sends them in an order of its own.
    clients
        Number of clients, each with one connection that is kept open.
    seconds
        Duration.
    seed
        Of the order.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 80)
    found: list[list[Answered]] = [[] for _ in range(clients)]
    end = time.perf_counter() + seconds

    def run(number: int) -> None:
        order = list(range(len(requests)))
        random.Random(seed + number).shuffle(order)
        connection = _Connection(address)
        for index in itertools.cycle(order):
            began = time.perf_counter()
            if began >= end:
                break
            status = connection.exchange(requests[index])
            found[number].append(Answered(index, status, time.perf_counter() - began))
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [*itertools.chain(*found)]


class _Connection:
    """Connection that is opened again after a failure."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def exchange(self, request: bytes) -> int:
        """Send a request and return the status of its answer; 0 after a failure."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, _LIMIT)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._status(self._socket)
        except (OSError, ValueError):
            self.close()
            return 0

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _status(self, connection: socket.socket) -> int:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._more(connection)
        if b"connection: close" in lines:
            self.close()
        return int(head.split(b" ", 2)[1])

    def _more(self, connection: socket.socket) -> bytes:
        if part := connection.recv(65536):
            return part
        raise OSError("the service has closed the connection")
