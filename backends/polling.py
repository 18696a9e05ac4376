"""Repeated calls from a thread while a block of code runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def polled(poll: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call ``poll`` every ``seconds`` until the block ends, and once more then.

    Parameters
    ----------
    poll
        Called in a thread of its own, never twice at the same time. An error in it ends the calls,
        not the block.
    seconds
        Time between two calls.
    name
        Name of the thread.
    """
    ended = Event()

    def run() -> None:
        last = False
        while not last:
            last = ended.wait(seconds)
            poll()

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
