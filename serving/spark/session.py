"""Spark context for bulk scoring: on this machine, or on a cluster."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from data import object_store
from data.jvm import temporary_option
from data.local_spark import local_context, spark_context
from data.process_environment import LOOPBACK, for_spark
from serving.errors import ServingError

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext

#: Spark started for the call on this machine, with one Python process for each worker.
EMBEDDED = "embedded"
#: Seconds to wait for the first executor of a cluster.
EXECUTOR_LIMIT = 120
#: Seconds to wait for an answer of a master.
_CONNECT_SECONDS = 10
_STANDALONE = "spark://"
#: Name of the unpacked archive in the executors' working folder.
_UNPACKED = "environment"
_NAME = "sparkdl-bench predict"


@contextmanager
def scoring_context(
    master: str, workers: int, archive: str | None = None
) -> "Iterator[SparkContext]":
    """Yield a context with ``workers`` executors of one core; it is stopped after the block.

    A context that is already active in this process is yielded instead and kept running.

    Parameters
    ----------
    master
        ``embedded``, or the URL of a Spark master. The settings of ``SPARK_CONF_DIR`` apply to a
        cluster.
    workers
        Number of executors.
    archive
        Environment packed with ``sparkdl-bench deploy pack``, which a cluster's executors run from:
        a path, or an address that Spark can read. None starts the path of this Python there.

    Raises
    ------
    ServingError
        If the archive does not exist, or the cluster cannot be reached or provides no executor.
    """
    if master == EMBEDDED:
        with local_context(workers, _NAME) as context:
            yield context
        return
    if archive is not None and "://" not in archive and not Path(archive).is_file():
        raise ServingError(
            f"there is no archive {archive}: create it with 'sparkdl-bench deploy pack {archive}'"
        )
    _refuse_unreachable(master)
    here = _on_this_machine(master)

    def environment() -> dict[str, str]:
        variables = for_spark(LOOPBACK if here else None, here=False)
        python = sys.executable if archive is None else f"./{_UNPACKED}/bin/python"
        return {**variables, "PYSPARK_PYTHON": python}

    with spark_context(
        lambda: _configuration(master, workers, archive),
        environment,
        idle=not master.startswith("local"),
    ) as context:
        _wait_for_executor(context)
        yield context


def _configuration(master: str, workers: int, archive: str | None) -> "SparkConf":
    from pyspark import SparkConf

    settings = {
        "spark.cores.max": str(workers),
        "spark.executor.cores": "1",
        "spark.executor.instances": str(workers),
        "spark.dynamicAllocation.enabled": "false",
        # Images are read from storage, so no executor is closer to one than another.
        "spark.locality.wait": "0s",
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.driver.defaultJavaOptions": temporary_option(),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **{f"spark.executorEnv.{k}": value for k, value in object_store.environment().items()},
    }
    if _on_this_machine(master):
        settings |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    if archive is not None:
        address = archive if "://" in archive else Path(archive).absolute().as_uri()
        settings["spark.archives"] = f"{address}#{_UNPACKED}"
    return SparkConf().setMaster(master).setAppName(_NAME).setAll(settings.items())


def _on_this_machine(master: str) -> bool:
    return master.startswith(("local", f"spark://{LOOPBACK}"))


def _refuse_unreachable(master: str) -> None:
    """Refuse a standalone cluster none of whose masters answers; Spark would wait for minutes."""
    if not master.startswith(_STANDALONE):
        return
    reason: object = "write spark://host:port"
    for one in master.removeprefix(_STANDALONE).split(","):
        host, _, port = one.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError):
                reason = error.strerror or error
        else:
            return
    raise ServingError(f"the Spark master {master} cannot be reached from here: {reason}")


def _wait_for_executor(context: "SparkContext") -> None:
    """Wait for an executor: without one, Spark's jobs wait forever."""
    if context.master.startswith("local"):
        return
    tracker = context._jsc.sc().statusTracker()
    deadline = time.monotonic() + EXECUTOR_LIMIT
    while len(tracker.getExecutorInfos()) < 2:  # the driver counts itself
        if time.monotonic() > deadline:
            raise ServingError(
                f"{context.master} provided no executor within {EXECUTOR_LIMIT} s: it has no free "
                "core or too little memory, or its machines do not reach this one"
            )
        time.sleep(0.1)
