"""The executors of a run: which are alive, asking all of them, going round one that fails."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

_LOOK_SECONDS = 0.1
#: Executors that may be lost, one after the other, while a stage needs all of them.
_LOSSES = 3
#: Seconds within which Spark's driver counts an executor out whose task has failed with it.
_LOSS_SECONDS = 2.0


def try_elsewhere(workers: int) -> dict[str, str]:
    """Return settings with which a task that failed on one executor is tried on another.

    Without them Spark gives it back to the one that is free, which is the one where it failed: a
    worker with a full disk ends the run. A task that fails on all of them waits for a new one, by
    default for two minutes: long enough here for an executor that is just being replaced.
    """
    if workers == 1:
        return {}
    return {
        "spark.excludeOnFailure.enabled": "true",
        "spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout": "10s",
    }


def alive(spark: "SparkContext") -> frozenset[tuple[str, int]]:
    """Return host and port of every executor that is alive."""
    infos = spark._jsc.sc().statusTracker().getExecutorInfos()
    own = spark._jsc.sc().env().blockManager().blockManagerId()
    found = {(info.host(), info.port()) for info in infos}
    return frozenset(found - {(own.host(), own.port())})


def lost(spark: "SparkContext", before: frozenset[tuple[str, int]], patience: float = 0.0) -> bool:
    """Tell whether one of ``before`` is gone, or goes within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while before <= alive(spark):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def at_once(rdd: "RDD", function: Callable[[Iterator[Any]], Iterable[Any]]) -> list[Any]:
    """Apply ``function`` to each partition, all at the same time: one for each executor.

    A barrier stage is the one way to be sure of that, and Spark gives it up where an executor is
    lost after another one's task has ended. It is then run again; ``function`` has no effects
    that a second time would spoil.
    """
    for losses in range(_LOSSES + 1):
        before = alive(rdd.context)
        try:
            return list(rdd.barrier().mapPartitions(function).collect())
        except Exception:
            if losses == _LOSSES or not lost(rdd.context, before, _LOSS_SECONDS):
                raise
    raise AssertionError("the last attempt returns or raises")
