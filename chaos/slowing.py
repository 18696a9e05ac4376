"""Slowing of a process tree, which is stopped and continued in turn."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from experiments.processes.children import tree

#: Seconds of one cycle: short compared with heartbeats, long compared with a context switch.
_PERIOD = 0.5


class Slowing:
    """Slows a process tree down until :meth:`end`, without control groups and without root.

    Parameters
    ----------
    root
        Root of the tree.
    share
        Fraction of the time (0 to 1) during which the tree runs.
    """

    def __init__(self, root: psutil.Process, share: float) -> None:
        self._root, self._share = root, share
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slowing", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop slowing the tree down."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while self._root.is_running() and not self._ended.is_set():
            with stopped(self._root):
                self._ended.wait(_PERIOD * (1 - self._share))
            self._ended.wait(_PERIOD * self._share)


@contextmanager
def stopped(root: psutil.Process) -> Iterator[None]:
    """Stop the process tree of ``root`` for the duration of the block."""
    members = tree(root.pid)
    _each(members, signal.SIGSTOP)
    try:
        yield
    finally:
        _each(members, signal.SIGCONT)


def _each(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
