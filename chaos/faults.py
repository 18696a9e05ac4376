"""The faults, with their targets and requirements."""

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from backends import Backend
from chaos import damage
from chaos.fault import Fault
from chaos.hosts import Hosts
from chaos.run_under_test import RunUnderTest, kill
from chaos.server import Server
from chaos.signals import (
    DriverJvmKilled,
    DriverKilled,
    ExecutorKilled,
    ExecutorPaused,
    Hangup,
    HarnessKilled,
    PythonWorkerKilled,
)
from chaos.slowing import Slowing
from data.prepared import PreparedData
from experiments.config import Experiment
from experiments.processes.children import tree

NO_PIXELS = "does not read pixels"


class HostGone(Fault):
    """Simulates a power failure of one machine."""

    name, title = "host-gone", "worker host gone"
    how = (
        "the link of one worker host is taken down until the run ends, then its executors are "
        "killed: other hosts are not notified"
    )
    needs_executors = needs_hosts = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Cut the link first, because a killed process would still close its connections."""
        assert target.hosts is not None
        executor = target.an_executor()
        host = target.hosts.host_of(executor)
        target.hosts.cut(host)
        kill(tree(executor.pid))
        return f"{host} is gone"


class NetworkCut(Fault):
    """Simulates a switch that restarts."""

    name, title = "network-cut", "network cut"
    how = "the link of one worker host is taken down for --cut-seconds and then restored"
    needs_executors = needs_hosts = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Take the link down and restore it."""
        assert target.hosts is not None
        host = target.hosts.host_of(target.an_executor())
        seconds = target.conditions.cut_s
        target.hosts.cut(host)
        try:
            time.sleep(seconds)
        finally:
            target.hosts.mend(host)
        return f"{host} was cut off for {seconds:g} s"


class Straggler(Fault):
    """Simulates a machine that throttles, or that is shared with other users."""

    name, title = "straggler", "straggler"
    how = (
        "one executor and its Python workers (without executors: the driver) are stopped four "
        "fifths of the time until the run ends"
    )

    def __init__(self) -> None:
        self._slowing: Slowing | None = None

    def inject(self, target: RunUnderTest) -> str:
        """Slow one worker down."""
        executors = target.executors()
        process = executors[-1] if executors else target.driver()
        self._slowing = Slowing(process, target.conditions.straggler_share)
        return f"{'executor' if executors else 'driver'} {process.pid} runs at a fifth of its speed"

    def finish(self, target: RunUnderTest) -> None:
        """Restore the speed of the worker."""
        if self._slowing is not None:
            self._slowing.end()


class TrackingDown(Fault):
    """Simulates a restart of the tracking server, for example for an update."""

    name, title = "tracking-down", "tracking server down"
    how = "the run's MLflow server is stopped, and started again after --outage-seconds"
    resumes = False
    has_own_records = True

    def __init__(self) -> None:
        self._server: Server | None = None

    def prepare(self, target: RunUnderTest, experiment: Experiment) -> Mapping[str, Any]:
        """Start a server for this run."""
        self._server = Server(target.folder)
        self._server.start()
        self._server.wait()
        return {"tracking_uri": self._server.uri, "artifacts": None}

    def inject(self, target: RunUnderTest) -> str:
        """Stop the server and start it again."""
        assert self._server is not None
        self._server.end()
        time.sleep(target.conditions.outage_s)
        self._server.start()
        return f"the server was down for {target.conditions.outage_s:g} s"

    def finish(self, target: RunUnderTest) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.end()


class DiskFull(Fault):
    """Simulates a full disk, without root: processes of an executor cannot write to any file."""

    name, title = "disk-full", "disk full on a worker"
    how = (
        "every write to a file of one executor, of its Python workers and of executors that are "
        "started later fails (RLIMIT_FSIZE 0, so that messages say 'File too large')"
    )
    needs_executors = costs_work = True

    def __init__(self) -> None:
        self._daemon: psutil.Process | None = None

    def inject(self, target: RunUnderTest) -> str:
        """Limit the worker daemon too, because executors that it restarts use the same disk."""
        executor = target.an_executor()
        self._daemon = executor.parent()
        for process in (self._daemon, *tree(executor.pid)):
            _limit_files(process, 0)
        return f"worker {self._daemon.pid} and executor {executor.pid} cannot write to files"

    def finish(self, target: RunUnderTest) -> None:
        """Remove the limit of the daemon, which may belong to a cluster that outlives the run."""
        if self._daemon is not None:
            _limit_files(self._daemon, None)


class CorruptRow(Fault):
    """Simulates a program that wrote an incomplete image."""

    name, title = "corrupt-row", "corrupt row"
    how = "the last training image is one byte too short"
    injects = resumes = False

    def skip_reason(self, backend: Backend, hosts: Hosts | None) -> str:
        """Return a reason if the backend cannot detect the damage because it reads no pixels."""
        return NO_PIXELS if backend.trains == "nothing" else ""

    def prepare(self, target: RunUnderTest, experiment: Experiment) -> Mapping[str, Any]:
        """Copy the data, damage the copy, and return its folder."""
        base = experiment.prepared or str(target.work / "data")
        self.damage(damage.copy_of(experiment.data, base, target.folder / "damaged"))
        return {"prepared": str((target.folder / "damaged").absolute())}

    def damage(self, data: PreparedData) -> None:
        """Damage ``data``."""
        damage.shorten_last_image(data)

    def inject(self, target: RunUnderTest) -> str:
        """Do nothing: the damage is present from the start."""
        return self.how


class CorruptFile(CorruptRow):
    """Simulates a faulty disk or memory."""

    name, title = "corrupt-file", "corrupt file"
    how = "one bit is flipped in the pixels of the last training images"

    def damage(self, data: PreparedData) -> None:
        """Damage ``data``."""
        damage.flip_a_bit(data)


FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        ExecutorKilled,
        PythonWorkerKilled,
        ExecutorPaused,
        HostGone,
        DriverKilled,
        DriverJvmKilled,
        HarnessKilled,
        Hangup,
        Straggler,
        NetworkCut,
        TrackingDown,
        DiskFull,
        CorruptRow,
        CorruptFile,
    )
}


def fault_names() -> tuple[str, ...]:
    """Return the names of all faults, in the order in which they are listed for users."""
    return tuple(FAULTS)


def _limit_files(process: psutil.Process, size: int | None) -> None:
    """Limit files written by ``process`` to ``size`` bytes; None restores the hard limit."""
    with suppress(psutil.NoSuchProcess):
        _, hard = process.rlimit(resource.RLIMIT_FSIZE)
        process.rlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
