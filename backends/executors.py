"""Which executors of a run are alive."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext

_LOOK_SECONDS = 0.1


def try_elsewhere(workers: int) -> dict[str, str]:
    """Return settings with which a task that failed on one executor is tried on another.

    Without them Spark gives it back to the one that is free, which is the one where it failed: a
    worker with a full disk ends the run.
    """
    return {"spark.excludeOnFailure.enabled": "true"} if workers > 1 else {}


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
