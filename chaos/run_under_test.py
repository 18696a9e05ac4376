"""Who is there to be injected: the processes of the run under way."""

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

    #: Seconds for which the tracking server is away.
    outage_s: float = 60.0
    #: Seconds for which a host is cut off.
    cut_s: float = 20.0
    #: Seconds for which an executor is stopped.
    pause_s: float = 20.0
    #: Of its speed, what a straggler keeps.
    straggler_share: float = 0.2


@dataclass
class RunUnderTest:
    """The run that this process makes."""

    #: For what a fault must write.
    folder: Path
    #: Where the run prepares its data.
    work: Path
    conditions: Conditions
    #: None where executors are this machine's own.
    hosts: Hosts | None = None

    def executors(self) -> list[psutil.Process]:
        """Return the executors' Java processes."""
        if self.hosts is None:
            candidates = psutil.Process().children(recursive=True)
        else:
            hosts = self.hosts
            candidates = [one for host in hosts.workers for one in hosts.processes(host)]
        found = [one for one in candidates if _EXECUTOR in _command(one) and _is_java(one)]
        return sorted(found, key=lambda one: one.create_time())

    def an_executor(self) -> psutil.Process:
        """Return the executor that is injected, the youngest.

        Raises
        ------
        ExperimentError
            When there is none.
        """
        found = self.executors()
        if not found:
            raise ExperimentError("no executor was found")
        return found[-1]

    def driver(self) -> psutil.Process:
        """Return the process that trains, or drives those that do.

        Raises
        ------
        ExperimentError
            When there is none.
        """
        for one in psutil.Process().children():
            if _DRIVER in _command(one):
                return one
        raise ExperimentError("no driver was found")

    def driver_jvm(self) -> psutil.Process:
        """Return the Java process through which the driver speaks to Spark.

        Raises
        ------
        ExperimentError
            When there is none.
        """
        for one in self.driver().children(recursive=True):
            if _DRIVER_JVM in _command(one) and _is_java(one):
                return one
        raise ExperimentError("no driver's JVM was found")

    def a_python_worker(self) -> psutil.Process:
        """Return the process that has computed most below the target executor.

        Raises
        ------
        ExperimentError
            When the executor has no Python process at this time.
        """
        forks = [one for one in self.an_executor().children() if _PYTHON_WORKERS in _command(one)]
        found = [worker for one in forks for worker in one.children(recursive=True)]
        if not found:
            raise ExperimentError("no Python worker was found")
        return max(found, key=_processor_seconds)


def kill(processes: Iterable[psutil.Process]) -> None:
    """End ``processes`` at once, as the kernel does when memory is short."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def signal_this_process(number: signal.Signals) -> None:
    """Do to this process what somebody outside does."""
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
