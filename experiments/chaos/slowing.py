"""A process tree that keeps a share of its speed: stopped and let go in turn."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

from experiments.processes import tree

#: Seconds of one stop and one go. Short beside every heartbeat, long beside a switch of processes.
_PERIOD = 0.5


class Slowing:
    """Slows a tree down until :meth:`end`; works without control groups and without root."""

    def __init__(self, root: psutil.Process, share: float) -> None:
        self._root, self._share = root, share
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slowing", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let the tree go."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while self._root.is_running() and not self._ended.is_set():
            members = tree(self._root.pid)
            _each(members, lambda one: one.send_signal(signal.SIGSTOP))
            self._ended.wait(_PERIOD * (1 - self._share))
            _each(members, lambda one: one.send_signal(signal.SIGCONT))
            self._ended.wait(_PERIOD * self._share)


def _each(processes: list[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)
