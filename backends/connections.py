"""Acceptance of connections on an address that other accounts or a whole network can also reach."""

import socket
import struct
import threading
import time
from collections.abc import Callable

#: Seconds without a byte after which reading from or writing to a peer fails that has not yet
#: proved that it has the secret of the run.
UNTRUSTED_LIMIT = 20
#: Seconds until the next attempt after a connection could not be accepted, for example because the
#: process has no file descriptor left.
_PAUSE = 0.1


def accept_connections(
    listener: socket.socket, handle: Callable[[socket.socket], None], name: str
) -> None:
    """Accept connections and pass each to ``handle`` in a separate thread.

    This function returns immediately; `stop_accepting` ends the acceptance.

    Parameters
    ----------
    listener
        A listening socket.
    handle
        Called with the connection, which it must close. Reading or writing raises BlockingIOError
        after ``UNTRUSTED_LIMIT`` seconds without a byte, until `trust` is called.
    name
        Name of the threads.
    """

    def accept() -> None:
        while listener.fileno() >= 0:
            try:
                connection, _ = listener.accept()
            except OSError:
                time.sleep(_PAUSE)
                continue
            limit_waiting(connection, UNTRUSTED_LIMIT)
            threading.Thread(target=handle, args=[connection], name=name, daemon=True).start()

    threading.Thread(target=accept, name=name, daemon=True).start()


def stop_accepting(listener: socket.socket) -> None:
    """Accept no more connections; established ones remain open."""
    listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the thread that accepts
    listener.close()


def own_address(host: str, port: int) -> str:
    """Return the address of this machine from which ``host`` is reached; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def trust(connection: socket.socket) -> None:
    """Remove the time limit for reading from and writing to ``connection``."""
    limit_waiting(connection, 0)


def limit_waiting(connection: socket.socket, seconds: int) -> None:
    """Make reading from and writing to ``connection`` fail after ``seconds`` without a byte.

    0 removes the limit. The error is a BlockingIOError.
    """
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", seconds, 0))
