"""Sums over workers through connections of this project, for libraries that have none of their own.

Every worker is connected to every other one by TCP, and both ends of a connection prove that they
have the secret of the run. Nothing that is received is unpickled. As in CaffeOnSpark, each worker
owns an equal slice of the vector that is summed: it receives its slice from all workers, adds them
in the order of ranks, and sends the sum back. The sums are therefore identical on all workers, and
a worker sends and receives less than two vectors for each sum, however many workers there are.
"""

import hashlib
import hmac
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection

import numpy as np

from backends.all_reduce.channel import Address, authenticated, enable_keepalive
from backends.all_reduce.replica import COLLECTIVE_LIMIT, PeerError
from backends.connections import accept_connections, limit_waiting, own_address, stop_accepting

#: Seconds within which the other workers must have connected.
_CONNECT_LIMIT = 60.0
#: Purpose of the key that is derived from the secret of the run, so that neither a worker can be
#: taken for the driver nor the driver for a worker.
_PURPOSE = b"sums over workers"
_RANK_BYTES = 4


class Peers:
    """Connections of one worker to all others.

    Parameters
    ----------
    rank
        Number of this worker.
    connections
        Connection to each of the other workers, by its rank.
    """

    def __init__(self, rank: int, connections: dict[int, Connection]) -> None:
        self.rank = rank
        self.workers = len(connections) + 1
        self._connections = connections
        self._pool = ThreadPoolExecutor(max(1, len(connections)), "peers")

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(wait=False)
        for connection in self._connections.values():
            connection.close()

    def sum(self, vector: np.ndarray) -> None:
        """Replace ``vector`` by its sum over all workers, bitwise identical on all of them.

        All workers must call this method at the same time.

        Parameters
        ----------
        vector
            Contiguous float32, shape (n,), the same n on all workers.

        Raises
        ------
        PeerError
            If another worker disconnects, or sends nothing for ``COLLECTIVE_LIMIT`` seconds.
        """
        if not self._connections:
            return
        bounds = [len(vector) * number // self.workers for number in range(self.workers + 1)]
        slices = [vector[start:end] for start, end in pairwise(bounds)]
        own = slices[self.rank]
        sending = self._send({rank: slices[rank] for rank in self._connections})
        received = np.empty_like(own)
        total = np.zeros_like(own)
        for rank in range(self.workers):
            if rank != self.rank:
                self._receive(rank, received)
            total += own if rank == self.rank else received
        _wait(sending)  # the other slices are overwritten below
        own[:] = total
        sending = self._send(dict.fromkeys(self._connections, own))
        for rank in self._connections:
            self._receive(rank, slices[rank])
        _wait(sending)

    def _send(self, parts: dict[int, np.ndarray]) -> list[Future]:
        """Start to send a part to each worker; both ends send at the same time."""
        return [self._pool.submit(self._send_one, rank, part) for rank, part in parts.items()]

    def _send_one(self, rank: int, part: np.ndarray) -> None:
        with _errors_of(rank):
            self._connections[rank].send_bytes(part.data.cast("B"))

    def _receive(self, rank: int, into: np.ndarray) -> None:
        with _errors_of(rank):
            size = self._connections[rank].recv_bytes_into(into.data.cast("B"))
            if size != into.nbytes:
                raise OSError(f"{size} bytes were received instead of {into.nbytes}")


@contextmanager
def connected(
    rank: int, address: Address, gather: Callable[[str], Sequence[str]]
) -> Iterator[Peers]:
    """Connect this worker to all others.

    Parameters
    ----------
    rank
        Number of this worker.
    address
        Address of the driver; this worker listens on the address from which it reaches the driver.
    gather
        Function that takes a text and returns those of all workers in the order of ranks, such as
        ``BarrierTaskContext.allGather``.

    Raises
    ------
    PeerError
        If not all workers connect within a minute.
    """
    key = hmac.digest(address.key, _PURPOSE, hashlib.sha256)
    host = own_address(address.host, address.port)
    listener = socket.create_server((host, 0))
    lobby = _Lobby(key)
    accept_connections(listener, lobby.admit, "peers")
    try:
        addresses = gather(f"{host}:{listener.getsockname()[1]}")
        connections = {other: _connect(other, rank, addresses[other], key) for other in range(rank)}
        connections |= lobby.wait_for(range(rank + 1, len(addresses)))
    finally:
        stop_accepting(listener)
    peers = Peers(rank, connections)
    try:
        yield peers
    finally:
        peers.close()


class _Lobby:
    """Collects the connections of workers of higher rank."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._arrived = threading.Condition()
        self._connections: dict[int, Connection] = {}

    def admit(self, peer: socket.socket) -> None:
        """Accept a worker that has the key, and disconnect any other client."""
        with peer:
            connection = authenticated(peer, self._key)
            if connection is None:
                return
            _prepare(peer)
        try:
            rank = int.from_bytes(connection.recv_bytes(_RANK_BYTES), "big")
        except (EOFError, OSError):
            connection.close()
            return
        with self._arrived:
            self._connections[rank] = connection
            self._arrived.notify_all()

    def wait_for(self, ranks: range) -> dict[int, Connection]:
        """Return the connections of ``ranks`` as soon as all have arrived."""
        with self._arrived:
            if not self._arrived.wait_for(
                lambda: self._connections.keys() >= set(ranks), _CONNECT_LIMIT
            ):
                missing = sorted(set(ranks) - self._connections.keys())
                raise PeerError(f"the workers {missing} did not connect in {_CONNECT_LIMIT:g} s")
            return {rank: self._connections[rank] for rank in ranks}


def _connect(rank: int, own_rank: int, address: str, key: bytes) -> Connection:
    """Return a connection to worker ``rank``, which knows this worker by ``own_rank``."""
    host, _, port = address.rpartition(":")
    with _errors_of(rank):
        try:
            connection = Client((host, int(port)), authkey=key)
        except AuthenticationError as error:
            raise OSError(f"{address} belongs to another program: {error}") from error
        with socket.socket(fileno=os.dup(connection.fileno())) as link:
            _prepare(link)
        enable_keepalive(connection)
        connection.send_bytes(own_rank.to_bytes(_RANK_BYTES, "big"))
    return connection


def _prepare(link: socket.socket) -> None:
    """Limit the time that a sum may wait, and send small messages immediately."""
    limit_waiting(link, int(COLLECTIVE_LIMIT))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _wait(sending: Sequence[Future]) -> None:
    wait(sending)
    for one in sending:
        one.result()


@contextmanager
def _errors_of(rank: int) -> Iterator[None]:
    """Raise errors of the connection to worker ``rank`` as PeerError."""
    try:
        yield
    except BlockingIOError as error:
        raise PeerError(f"worker {rank} did not respond for {COLLECTIVE_LIMIT:g} s") from error
    except EOFError as error:
        raise PeerError(f"worker {rank} has disconnected") from error
    except OSError as error:
        raise PeerError(f"the connection to worker {rank} failed: {error}") from error
