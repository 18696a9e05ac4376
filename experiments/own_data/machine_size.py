"""Check that the requested workers fit on this machine."""

import os
from collections.abc import Sequence

import psutil

from experiments.config import EMBEDDED, Experiment
from experiments.errors import ExperimentError

#: Maximum number of threads per core of a backend without Spark.
_THREADS = 64


def check_machine(experiment: Experiment, needs_spark: Sequence[bool]) -> None:
    """Reject more workers than fit on this machine, before the data are prepared.

    Parameters
    ----------
    experiment
        Experiment to check.
    needs_spark
        For each backend, True if its workers are Spark executors.

    Raises
    ------
    ExperimentError
        If there are too many executors in a cluster that is started for the run, or too many
        threads in a backend without Spark.
    """
    spark, workers = experiment.spark, experiment.workers
    if any(needs_spark) and spark.master == EMBEDDED:
        asked = spark.conf.get("spark.executor.memory", spark.executor_memory)
        check_memory(workers, megabytes(asked))
    cores = os.cpu_count() or 1
    if not all(needs_spark) and workers > _THREADS * cores:
        raise ExperimentError(
            f"{workers:,} threads are too many for the {cores} cores of this machine: use fewer "
            "--workers"
        )


def check_memory(workers: int, executor_mb: int) -> None:
    """Reject executors that together exceed this machine's memory; the kernel would kill one.

    Parameters
    ----------
    workers
        Number of executors.
    executor_mb
        Memory of each executor in MiB.

    Raises
    ------
    ExperimentError
        If the executors exceed the memory; the message states both sizes.
    """
    asked, there = workers * executor_mb / 1024, psutil.virtual_memory().total / 2**30
    if asked > there:
        raise ExperimentError(
            f"{workers} executors of {executor_mb / 1024:.1f} GiB are more than this machine's "
            f"{there:.0f} GiB: use fewer --workers, a smaller --batch-size or --image-size, or a "
            "cluster (--master)"
        )


def megabytes(memory: str) -> int:
    """Return a memory size such as ``512m`` or ``2g`` in MiB."""
    return int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
