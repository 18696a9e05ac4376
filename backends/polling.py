"""Repeated calls from a thread while a block of code runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def polled(poll: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call ``poll`` every ``seconds`` until the block ends, and once more at its end.

    Parameters
    ----------
    poll
        Called in a separate thread, never concurrently. An exception in it ends the calls, but not
        the block.
    seconds
        Time between two calls in seconds.
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
