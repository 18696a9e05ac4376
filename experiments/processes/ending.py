"""Ctrl-C, termination and a closed terminal while something must be done to its end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Signals that have arrived within the blocks that are under way.
_arrived: list[int] = []


@contextmanager
def undisturbed(
    say: Callable[[], None] = lambda: None, *, then_end: bool = False
) -> Iterator[None]:
    """Let the block run to its end whatever arrives; what arrives calls ``say``.

    Parameters
    ----------
    then_end
        Raise KeyboardInterrupt after the block if something has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    already = len(_arrived)

    def note(number: int, _: object) -> None:
        _arrived.append(number)
        say()

    # A signal that nohup has switched off stays off.
    before = {
        number: signal.signal(number, note)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        arrived = _arrived[already:]
        del _arrived[already:]
    if arrived and then_end:
        raise KeyboardInterrupt


def end_if_asked() -> None:
    """Raise KeyboardInterrupt where a block would wait long and something has arrived in it."""
    if _arrived and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
