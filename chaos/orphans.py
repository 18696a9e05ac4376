"""Processes of a run that are still there a while after its end."""

from uuid import uuid4

import psutil

from chaos.hosts import Hosts
from chaos.run_under_test import kill

#: Variable that every process of a run inherits, whoever its parent has become.
_MARK = "SPARKDL_CHAOS_RUN"
#: Seconds within which the processes of a run that is over must be gone.
_GONE_LIMIT = 30.0


class Orphans:
    """Tells which processes a run leaves. Made before the run starts."""

    def __init__(self, hosts: Hosts | None) -> None:
        """On ``hosts`` executors inherit nothing of the run: what is new there belongs to it."""
        self._hosts = hosts
        self._before = self._on_hosts()
        self.mark = {_MARK: uuid4().hex}

    def wait(self) -> tuple[int, ...]:
        """Return the ids of processes that do not end, and end them."""
        psutil.wait_procs(self._present(), timeout=_GONE_LIMIT)
        left = self._present()  # with what was started meanwhile
        kill(left)
        return tuple(one.pid for one in left)

    def _present(self) -> list[psutil.Process]:
        marked = [one for one in psutil.process_iter() if self._is_marked(one)]
        return [*marked, *(self._on_hosts() - self._before)]

    def _is_marked(self, process: psutil.Process) -> bool:
        ((name, value),) = self.mark.items()
        try:
            return _lives(process) and process.environ().get(name) == value
        except psutil.Error:
            return False

    def _on_hosts(self) -> set[psutil.Process]:
        if self._hosts is None:
            return set()
        found = {one for host in self._hosts.workers for one in self._hosts.processes(host)}
        return {one for one in found if _lives(one)}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
