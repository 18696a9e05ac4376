"""Addresses with a listening server on a port while other code runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def listening(port: int) -> Iterator[set[str]]:
    """Collect the addresses with a server on ``port`` while the context is active."""
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
