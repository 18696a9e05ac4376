"""Answering calls on an address that strangers reach too: other accounts, a whole network."""

import socket
import struct
import threading
import time
from collections.abc import Callable

#: Seconds that a caller who has not yet proved to know the run's secret may take to say something.
STRANGER_LIMIT = 20
#: Seconds until the next look where no call could be taken: the process has no file left.
_PAUSE = 0.1


def answer_calls(
    listener: socket.socket, answer: Callable[[socket.socket], None], name: str
) -> None:
    """Give each call to ``listener`` to ``answer``, in threads of their own, until ``hang_up``.

    Parameters
    ----------
    listener
        A listening socket.
    answer
        Owns the connection that it is given. Reading or writing raises BlockingIOError after
        ``STRANGER_LIMIT`` seconds without a byte, until ``trust`` is called.
    name
        Of the threads.
    """

    def take() -> None:
        while listener.fileno() >= 0:
            try:
                line, _ = listener.accept()
            except OSError:
                time.sleep(_PAUSE)
                continue
            _limit(line, STRANGER_LIMIT)
            threading.Thread(target=answer, args=[line], name=name, daemon=True).start()

    threading.Thread(target=take, name=name, daemon=True).start()


def hang_up(listener: socket.socket) -> None:
    """Take no more calls; those under way are their answerer's."""
    listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the thread that accepts
    listener.close()


def trust(line: socket.socket) -> None:
    """Let ``line`` be silent for as long as it likes."""
    _limit(line, 0)


def _limit(line: socket.socket, seconds: int) -> None:
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        line.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", seconds, 0))
