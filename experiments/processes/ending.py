"""Deferral of Ctrl-C, termination and hangup while a block must be completed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Signals that have arrived within the current blocks.
_arrived: list[int] = []


@contextmanager
def undisturbed(
    on_signal: Callable[[], None] = lambda: None, *, then_end: bool = False
) -> Iterator[None]:
    """Defer SIGINT, SIGTERM and SIGHUP until the block has been completed.

    Parameters
    ----------
    on_signal
        Called for each signal that arrives.
    then_end
        If True, raise KeyboardInterrupt after the block if a signal has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are delivered to the main thread
        return
    already = len(_arrived)

    def note(number: int, _: object) -> None:
        _arrived.append(number)
        on_signal()

    # A signal that is ignored, for example by nohup, remains ignored.
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
    """Raise KeyboardInterrupt if a signal was deferred; to be called before long waits."""
    if _arrived and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
