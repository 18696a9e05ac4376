"""The processes of the current run, into which faults are injected."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from chaos.hosts import Hosts
from experiments.errors import ExperimentError

_EXECUTOR, _DRIVER = "CoarseGrainedExecutorBackend", "experiments.runs.worker"
_DRIVER_JVM, _PYTHON_WORKERS = "SparkSubmit", "pyspark.daemon"


class Conditions(BaseModel):
    """Severity of the faults."""

    #: Seconds for which the tracking server is down.
    outage_s: float = 60.0
    #: Seconds for which a host is cut off.
    cut_s: float = 20.0
    #: Seconds for which an executor is stopped.
    pause_s: float = 20.0
    #: Fraction of its speed at which a straggler runs.
    straggler_share: float = 0.2


@dataclass
class RunUnderTest:
    """The run of this process."""

    #: Folder in which faults may write files.
    folder: Path
    #: Folder in which the run prepares its data.
    work: Path
    conditions: Conditions
    #: Hosts of the executors; None if the executors are descendants of this process.
    hosts: Hosts | None = None

    def executors(self) -> list[psutil.Process]:
        """Return the Java processes of the executors, the oldest first."""
        if self.hosts is None:
            candidates = psutil.Process().children(recursive=True)
        else:
            hosts = self.hosts
            candidates = [one for host in hosts.workers for one in hosts.processes(host)]
        found = [one for one in candidates if _EXECUTOR in _command(one) and _is_java(one)]
        return sorted(found, key=lambda one: one.create_time())

    def an_executor(self) -> psutil.Process:
        """Return the youngest executor, which is the target of faults.

        Raises
        ------
        ExperimentError
            If there is no executor.
        """
        found = self.executors()
        if not found:
            raise ExperimentError("no executor was found")
        return found[-1]

    def driver(self) -> psutil.Process:
        """Return the process that trains or that controls the executors.

        Raises
        ------
        ExperimentError
            If there is no such process.
        """
        for one in psutil.Process().children():
            if _DRIVER in _command(one):
                return one
        raise ExperimentError("no driver was found")

    def driver_jvm(self) -> psutil.Process:
        """Return the Java process that connects the driver to Spark.

        Raises
        ------
        ExperimentError
            If there is no such process.
        """
        for one in self.driver().children(recursive=True):
            if _DRIVER_JVM in _command(one) and _is_java(one):
                return one
        raise ExperimentError("no JVM of the driver was found")

    def a_python_worker(self) -> psutil.Process:
        """Return the Python worker of the target executor that has used the most CPU time.

        Raises
        ------
        ExperimentError
            If the executor currently has no Python process.
        """
        forks = [one for one in self.an_executor().children() if _PYTHON_WORKERS in _command(one)]
        found = [worker for one in forks for worker in one.children(recursive=True)]
        if not found:
            raise ExperimentError("no Python worker was found")
        return max(found, key=_processor_seconds)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to ``processes``, as the kernel does if memory is exhausted."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def signal_this_process(number: signal.Signals) -> None:
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


def _processor_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return ""


def _is_java(process: psutil.Process) -> bool:
    try:
        return str(process.name()) == "java"
    except psutil.NoSuchProcess:
        return False
