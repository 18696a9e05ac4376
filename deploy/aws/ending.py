"""Ctrl-C and termination while something must be done to its end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed(say: Callable[[], None], *, then_end: bool = False) -> Iterator[None]:
    """Let the block run to its end whatever arrives; what arrives calls ``say``.

    Parameters
    ----------
    then_end
        Raise KeyboardInterrupt after the block if something has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    arrived = []

    def note(number: int, _: object) -> None:
        arrived.append(number)
        say()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived and then_end:
        raise KeyboardInterrupt
