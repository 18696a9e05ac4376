"""Servers of frameworks that believe whoever connects are on loopback alone, on one machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from backends.ports import free_port
from experiments.records import FINISHED
from tests.experiments.conftest import Run


@contextmanager
def listening(port: int) -> Iterator[set[str]]:
    """Collect the addresses on which anything listens at ``port`` meanwhile."""
    found: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            for connection in psutil.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    found.add(connection.laddr.ip)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["elephas", "tensorflowonspark"])
def test_server_of_the_driver_is_on_loopback(
    run: Run, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("TFOS_SERVER_PORT", str(port))
    options = {"elephas": {"mode": "asynchronous", "port": port}}
    with listening(port) as found:
        (record,) = run(backend, backend_options=options)
    assert record.status == FINISHED, record.reason
    assert found == {"127.0.0.1"}


def test_manager_of_tensorflowonspark_is_no_network_server() -> None:
    """Workers' queues: a socket in the file system, which no other machine reaches."""
    from tensorflowonspark import TFManager

    manager = TFManager.start(b"key", ["input"])
    try:
        assert isinstance(manager.address, str)
        own = psutil.Process(manager._process.pid)
        assert not own.net_connections("inet")
    finally:
        manager.shutdown()
