"""Resources used by a run's executors on any machine, collected through Spark.

Memory is the peak of Spark's executor metrics: every executor samples the resident sets of its JVM
and its Python workers (``ProcessTreeMetrics``) and reports them to the driver with its heartbeat.
Spark does not measure CPU time of Python workers or I/O to storage, so a last task on each executor
reads both for its process tree.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Spark settings that executors require to report metrics of their processes.
SETTINGS = {
    "spark.executor.processTreeMetrics.enabled": "true",
    "spark.executor.metrics.pollingInterval": "500ms",
    "spark.executor.heartbeatInterval": "2s",
}
METHOD = (
    "; the same for executors on other machines: CPU seconds and I/O bytes of JVM and Python "
    "workers read from /proc by a last task on each, memory as the peak of resident sets from "
    "Spark's executor metrics (ProcessTreeMetrics, polled every 0.5 s); memory is the sum of "
    "peaks, which may have occurred at different times"
)
#: Names of Spark's metrics of resident sets.
_RESIDENT = ("ProcessTreeJVMRSSMemory", "ProcessTreePythonRSSMemory", "ProcessTreeOtherRSSMemory")


class ExecutorUse(BaseModel):
    """Sums over the executors that were alive at the end."""

    executors: int
    cpu_s: float
    #: Sum of the executors' peaks; zero if Spark cannot read the metrics of processes.
    peak_memory_bytes: int
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True)
class _Tree:
    executor: str
    cpu_s: float
    read_bytes: int
    write_bytes: int


def executor_use(session: "SparkSession", workers: int) -> ExecutorUse:
    """Return the resources used so far by up to ``workers`` executors of one core.

    The call does not wait for executors that were lost and not replaced.
    """
    from backends.executors import alive

    present = min(workers, len(alive(session.sparkContext)))
    trees = {tree.executor: tree for tree in _trees(session, present)}.values()
    return ExecutorUse(
        executors=len(trees),
        cpu_s=sum(tree.cpu_s for tree in trees),
        peak_memory_bytes=_peak_memory(session),
        read_bytes=sum(tree.read_bytes for tree in trees),
        write_bytes=sum(tree.write_bytes for tree in trees),
    )


def _trees(session: "SparkSession", workers: int) -> list[_Tree]:
    """Return the use of the process tree of each executor."""
    from backends.executors import at_once

    def probe(_: Iterator[int]) -> Iterator[_Tree]:
        yield _own_executor()

    numbers = session.sparkContext.parallelize(range(workers), workers)
    return at_once(numbers, probe)


def _own_executor() -> _Tree:
    """Return the use of the executor to which this Python worker belongs."""
    from experiments.resources.monitor import io_of

    executor = next(
        process for process in psutil.Process(os.getpid()).parents() if process.name() == "java"
    )
    cpu = read = written = 0.0
    for process in [executor, *executor.children(recursive=True)]:
        try:
            cpu += sum(process.cpu_times()[:4])  # includes reaped children
            got = io_of(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
        read, written = read + got[0], written + got[1]
    return _Tree(f"{os.uname().nodename}:{executor.pid}", cpu, int(read), int(written))


def _peak_memory(session: "SparkSession") -> int:
    """Return the sum over executors of the peak memory in Spark's metrics, in bytes."""
    infos = session.sparkContext._jsc.sc().statusStore().executorList(False)
    total = 0
    for number in range(infos.size()):
        info = infos.apply(number)
        if info.id() == "driver" or info.peakMemoryMetrics().isEmpty():
            continue
        metrics = info.peakMemoryMetrics().get()
        total += sum(metrics.getMetricValue(name) for name in _RESIDENT)
    return int(total)
