"""Local Spark context for the duration of an ingest."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data import class_archive, limits
from data.jvm import spark_jvm, temporary_option
from data.process_environment import LOOPBACK, for_spark
from data.project import ROOT

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext

#: The JVM only handles names and digests; Spark refuses to start with much less.
DRIVER_MEMORY = "768m"
#: Seconds to wait for the JVM to exit after its standard input was closed.
JVM_END_SECONDS = 15

_LOG_SETTINGS = Path(__file__).with_name("quiet-log4j2.properties")
#: The JVM distributes names and collects digests. Thorough compilation and parallel garbage
#: collection would take more CPU time from the Python workers on the same cores than they save.
_JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@contextlib.contextmanager
def local_context(workers: int, name: str) -> Iterator["SparkContext"]:
    """Start Spark with ``workers`` threads on the loopback interface; stop it and its JVM at exit.

    A context that is already active in this process is yielded instead and kept running, because
    a process can have only one.
    """
    with spark_context(lambda: _configuration(workers, name), for_spark) as context:
        yield context


@contextlib.contextmanager
def spark_context(
    configuration: Callable[[], "SparkConf"],
    environment: Callable[[], Mapping[str, str]],
    *,
    idle: bool = False,
) -> Iterator["SparkContext"]:
    """Start Spark; stop it and its JVM at exit.

    A context that is already active in this process is yielded instead and kept running, because
    a process can have only one.

    Parameters
    ----------
    configuration, environment
        Functions that return the settings, and the environment variables of Spark's processes.
    idle
        As for `data.jvm.spark_jvm`.
    """
    from pyspark import SparkContext

    running = SparkContext._active_spark_context
    if running is not None:
        yield running
        return
    limits.check()
    first_of_process = SparkContext._gateway is None
    conf, variables = configuration(), environment()
    with _set(variables), spark_jvm(conf, variables, idle=idle):
        context = SparkContext(conf=conf)
    try:
        yield context
    finally:
        context.stop()
        if first_of_process:
            _end_jvm()


def _configuration(workers: int, name: str) -> "SparkConf":
    from pyspark import SparkConf

    settings = {
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.driver.extraJavaOptions": (
            f"{temporary_option()} -Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()} "
            f"{_JVM_OPTIONS} {class_archive.options()}"
        ),
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        # Spark generates the secret itself, as all its threads are in one process.
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    configuration = SparkConf().setMaster(f"local[{workers}]").setAppName(name)
    return configuration.setAll(settings.items())


@contextlib.contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace this process's environment, which PySpark reads, within the block."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _end_jvm() -> None:
    """Stop the JVM, which PySpark would otherwise keep for later contexts.

    The next context may need other memory and log settings, which apply only to a new JVM.
    """
    from pyspark import SparkContext

    gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None
    process = gateway.proc
    gateway.shutdown()
    process.stdin.close()
    try:
        process.wait(JVM_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
