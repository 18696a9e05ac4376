"""Processes of a run that are still running some time after its end."""

from uuid import uuid4

import psutil

from chaos.hosts import Hosts
from chaos.run_under_test import kill

#: Environment variable that every process of a run inherits, even if its parent changes.
_MARK = "SPARKDL_CHAOS_RUN"
#: Seconds within which all processes must end after the end of their run.
_GONE_LIMIT = 30.0


class Orphans:
    """Finds orphaned processes of a run. Must be created before the run starts."""

    def __init__(self, hosts: Hosts | None) -> None:
        # Executors on hosts do not inherit the variable, so new processes there count as the run's.
        self._hosts = hosts
        self._before = self._on_hosts()
        self.mark = {_MARK: uuid4().hex}

    def wait(self) -> tuple[int, ...]:
        """Kill the processes that do not end by themselves, and return their ids."""
        psutil.wait_procs(self._present(), timeout=_GONE_LIMIT)
        left = self._present()  # includes processes that were started in the meantime
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
