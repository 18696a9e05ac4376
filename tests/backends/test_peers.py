"""Sums over workers through their own connections, between threads and processes."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from typing import Any

import numpy as np
import pytest

from backends.all_reduce import peers
from backends.all_reduce.channel import Address
from backends.all_reduce.peers import Peers, connected
from backends.all_reduce.replica import PeerError

LOOPBACK = "127.0.0.1"
DRIVER = Address(LOOPBACK, 9, b"the secret of the run")


class Barrier:
    """Stands in for ``BarrierTaskContext.allGather``."""

    def __init__(self, workers: int) -> None:
        self.texts = [""] * workers
        self._barrier = threading.Barrier(workers)

    def of(self, rank: int) -> Callable[[str], list[str]]:
        def gather(text: str) -> list[str]:
            self.texts[rank] = text
            self._barrier.wait(20)
            return self.texts

        return gather


def on_all(workers: int, work: Callable[[Peers], Any], barrier: Barrier | None = None) -> list[Any]:
    """Return what ``work`` returns on each of the connected workers."""
    barrier = barrier or Barrier(workers)

    def run(rank: int) -> Any:
        with connected(rank, DRIVER, barrier.of(rank)) as found:
            return work(found)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(workers)))


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 7, 1_000_003])
def test_sums_are_those_of_numpy_and_the_same_on_all_workers(workers: int, size: int) -> None:
    generator = np.random.default_rng(0)
    vectors = [generator.normal(size=size).astype(np.float32) for _ in range(workers)]
    expected = vectors[0].copy()
    for vector in vectors[1:]:
        expected += vector

    def work(found: Peers) -> np.ndarray:
        vector = vectors[found.rank].copy()
        found.sum(vector)
        found.sum(again := vectors[found.rank].copy())
        np.testing.assert_array_equal(again, vector)
        return vector

    for total in on_all(workers, work):
        np.testing.assert_array_equal(total, expected)


def test_lost_worker_is_named() -> None:
    def work(found: Peers) -> str:
        if found.rank == 1:
            found.close()
            return ""
        with pytest.raises(PeerError, match=r"worker 1 (has disconnected|failed)") as error:
            found.sum(np.ones(8, np.float32))
        return str(error.value)

    assert "worker 1" in on_all(2, work)[0]


def test_worker_that_sends_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "COLLECTIVE_LIMIT", 1)
    ended = threading.Event()

    def work(found: Peers) -> None:
        if found.rank == 1:
            ended.wait(20)
            return
        with pytest.raises(PeerError, match="worker 1 did not respond for 1 s"):
            found.sum(np.ones(8, np.float32))
        ended.set()

    on_all(2, work)


def test_clients_without_the_secret_are_refused() -> None:
    class Attacked(Barrier):
        def of(self, rank: int) -> Callable[[str], list[str]]:
            original = super().of(rank)

            def gather(text: str) -> list[str]:
                host, _, port = text.rpartition(":")
                assert host == LOOPBACK
                for key in (DRIVER.key, b"a guess"):  # the key of the driver's channel is another
                    with pytest.raises(AuthenticationError):
                        Client((host, int(port)), authkey=key).recv_bytes()
                self.idle = socket.create_connection((host, int(port)))
                return original(text)

            return gather

    def work(found: Peers) -> float:
        vector = np.ones(1, np.float32)
        found.sum(vector)
        return float(vector[0])

    assert on_all(2, work, Attacked(2)) == [2.0, 2.0]


def test_worker_that_never_connects_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_CONNECT_LIMIT", 0.2)
    with (
        pytest.raises(PeerError, match=r"the workers \[1\] did not connect in 0.2 s"),
        connected(0, DRIVER, lambda own: [own, f"{LOOPBACK}:9"]),
    ):
        pass
