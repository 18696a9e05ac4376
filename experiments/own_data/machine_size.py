"""Refusal of more workers than this machine can hold."""

import os
from collections.abc import Sequence

import psutil

from experiments.config import EMBEDDED, Experiment
from experiments.errors import ExperimentError

#: Threads for each core above which a backend without Spark would start more than a machine runs.
_THREADS = 64


def check_machine(experiment: Experiment, needs_spark: Sequence[bool]) -> None:
    """Refuse more workers than this machine holds, before the data are prepared.

    Parameters
    ----------
    needs_spark
        For each backend, whether its workers are executors.

    Raises
    ------
    ExperimentError
        When executors of a cluster that is started for the run, or threads of a backend without
        Spark, are too many.
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
    """Refuse executors that together are larger than the machine: it would kill one of them.

    Raises
    ------
    ExperimentError
        With the memory that there is.
    """
    asked, there = workers * executor_mb / 1024, psutil.virtual_memory().total / 2**30
    if asked > there:
        raise ExperimentError(
            f"{workers} executors of {executor_mb / 1024:.1f} GiB are more than this machine's "
            f"{there:.0f} GiB: use fewer --workers, a smaller --batch-size or --image-size, or a "
            "cluster (--master)"
        )


def megabytes(memory: str) -> int:
    """Return the mebibytes of ``512m`` or ``2g``."""
    return int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
