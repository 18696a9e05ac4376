"""Executors of a run: which ones are alive, tasks on all of them, and retries after failures."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

_POLL_SECONDS = 0.1
#: Settings that disable retries, for workers that cannot restart alone, since the others have
#: continued.
NO_RETRIES = {"spark.task.maxFailures": "1", "spark.stage.maxConsecutiveAttempts": "1"}
#: Number of executors that may be lost, one after the other, during a stage that needs all of them.
_LOSSES = 3
#: Seconds within which Spark's driver removes an executor that was lost together with its task.
_LOSS_SECONDS = 2.0


def try_elsewhere(workers: int) -> dict[str, str]:
    """Return Spark settings with which a task that failed on one executor is retried on another.

    By default Spark schedules it on the executor that is free, which is the one on which it failed,
    so that a single worker with a full disk would fail the run. A task that failed on all executors
    waits for a new one, by default for two minutes; the timeout here is long enough for an executor
    that is being replaced.
    """
    if workers == 1:
        return {}
    return {
        "spark.excludeOnFailure.enabled": "true",
        "spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout": "10s",
    }


def alive(spark: "SparkContext") -> frozenset[tuple[str, int]]:
    """Return host and port of every live executor."""
    infos = spark._jsc.sc().statusTracker().getExecutorInfos()
    own = spark._jsc.sc().env().blockManager().blockManagerId()
    found = {(info.host(), info.port()) for info in infos}
    return frozenset(found - {(own.host(), own.port())})


def lost(spark: "SparkContext", before: frozenset[tuple[str, int]], patience: float = 0.0) -> bool:
    """Return whether an executor in ``before`` is lost now or within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while before <= alive(spark):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def at_once(rdd: "RDD", function: Callable[[Iterator[Any]], Iterable[Any]]) -> list[Any]:
    """Apply ``function`` to all partitions at the same time, one on each executor.

    Only a barrier stage guarantees this, and Spark aborts it if an executor is lost after the task
    of another one has ended. The stage is then run again, so ``function`` must be idempotent.
    """
    for losses in range(_LOSSES + 1):
        before = alive(rdd.context)
        try:
            return list(rdd.barrier().mapPartitions(function).collect())
        except Exception:
            if losses == _LOSSES or not lost(rdd.context, before, _LOSS_SECONDS):
                raise
    raise AssertionError("the last attempt returns or raises")
