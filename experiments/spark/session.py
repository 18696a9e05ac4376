"""The Spark session of a run's driver."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from data import class_archive, import_path, object_store
from data.jvm import spark_jvm, temporary_option
from data.process_environment import KERAS_ON_EXECUTORS, LOOPBACK
from experiments.config import EMBEDDED, SparkConfig
from experiments.errors import ExperimentError
from experiments.resources import executors
from experiments.spark import environment
from experiments.spark.addresses import driver_address, on_this_machine
from experiments.spark.shipping import archive_settings, executor_python, ship_code

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from backends import Backend, TrainingTask

#: Seconds to wait for all executors of a run.
EXECUTOR_LIMIT = 120
#: Prefix of the variables with which a driver started by ``spark-submit`` passes the address of
#: its JVM and its executors' Python to the training process. PySpark reads the names without the
#: prefix, so other Sparks on the same machine still start their own JVMs.
_PREFIX = "SPARKDL_"
#: Names of these variables, without the prefix.
_OF_THE_DRIVER = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_PYTHON")
#: Variables that limit the numeric libraries of a one-core executor to one thread.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def start(
    config: SparkConfig,
    master: str,
    backend: "Backend",
    task: "TrainingTask",
    folder: Path,
    on_note: Callable[[str], None] = lambda _: None,
) -> "SparkSession":
    """Return a session with all executors registered and the backend's modules imported there.

    Parameters
    ----------
    config
        Spark section of the experiment.
    master
        Spark URL.
    backend, task
        Backend and task that determine the Spark settings, modules and number of workers.
    folder
        Folder in which the driver may write.
    on_note
        Called with each note on the executors that belongs in the record.

    Raises
    ------
    ExperimentError
        If the cluster does not provide the executors, or their packages differ from those of this
        process.
    """
    from backends.base import RunContext
    from backends.inference import import_on_executors

    conf = settings(config, task.workers, folder, backend.spark_conf(task))
    session = connect(master, conf, config.driver_memory, executor_python(config))
    try:
        ship_code(session, folder)
        wait_for_executors(session, task.workers, embedded=config.master == EMBEDDED)
        if not on_this_machine(master):
            for note in environment.check(session, task.workers, backend.name, backend.packages):
                on_note(note)
        if backend.executor_modules:
            context = RunContext(spark=session, folder=folder)
            import_on_executors(context, task.workers, *backend.executor_modules)
    except BaseException:
        session.stop()
        raise
    return session


def settings(
    spark: SparkConfig, workers: int, folder: Path, backend: dict[str, str]
) -> dict[str, str]:
    """Return all Spark settings of a run.

    Settings of the user override those of the backend, which override those of the harness.
    """
    conf = {
        "spark.app.name": "sparkdl-bench",
        "spark.cores.max": str(workers),
        "spark.executor.cores": "1",
        "spark.executor.instances": str(workers),
        "spark.executor.memory": spark.executor_memory,
        "spark.dynamicAllocation.enabled": "false",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        # A barrier stage waits for a lost executor for two minutes instead of ten.
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "5s",
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "24",
        # Shards are read from storage, so no executor is closer to one than another.
        "spark.locality.wait": "0s",
        "spark.python.worker.reuse": "true",
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
        "spark.executor.extraJavaOptions": "-XX:+UseSerialGC",
        **{f"spark.executorEnv.{name}": value for name, value in ONE_THREAD.items()},
        "spark.executorEnv.TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if on_this_machine(spark.master):
        options = f"{temporary_option()} {class_archive.options()}".rstrip()
        conf |= {
            # Spark prepends these to the extraJavaOptions, which a backend may replace.
            "spark.driver.defaultJavaOptions": options,
            "spark.executor.defaultJavaOptions": options,
            # The user's own folders too: a backend or its framework may be imported from them.
            "spark.executorEnv.PYTHONPATH": import_path.for_children(os.environ),
            "spark.executorEnv.SPARK_LOCAL_IP": LOOPBACK,
        }
    if address := driver_address(spark.master):
        conf |= {"spark.driver.host": address, "spark.driver.bindAddress": address}
    conf |= archive_settings(spark, folder)
    if spark.has_own_executors:
        conf |= executors.SETTINGS
        where = object_store.environment() | KERAS_ON_EXECUTORS
        conf |= {f"spark.executorEnv.{name}": value for name, value in where.items()}
    return {**conf, **backend, **spark.conf}


def connect(master: str, conf: dict[str, str], driver_memory: str, python: str) -> "SparkSession":
    """Return a session on ``master`` whose executors use ``python`` and may still be starting."""
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    from experiments.spark.encrypted_broadcasts import allow_arrays

    allow_arrays()
    # If the driver is a Python process, Spark ignores spark.pyspark.python.
    os.environ["PYSPARK_PYTHON"] = python
    # The heap size of the driver's JVM is fixed before any setting is read.
    further = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-memory {driver_memory} {further}"
    _join_driver()
    builder, settings = SparkSession.builder.master(master), SparkConf().setMaster(master)
    for key, value in conf.items():
        builder = builder.config(key, value)
        settings.set(key, value)
    with spark_jvm(settings, os.environ, idle=not on_this_machine(master)):
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    return session


def _join_driver() -> None:
    """Make PySpark connect to the JVM of the driver that this process belongs to, if any."""
    for name in _OF_THE_DRIVER:
        if value := os.environ.get(_PREFIX + name):
            os.environ[name] = value


def wait_for_executors(session: "SparkSession", workers: int, *, embedded: bool = False) -> None:
    """Wait until ``workers`` executors have registered.

    Parameters
    ----------
    session
        Session of the executors.
    workers
        Number of executors to wait for.
    embedded
        True if the cluster was started for the run, with one core for each worker; selects the
        advice of the error.

    Raises
    ------
    ExperimentError
        If fewer executors register within :data:`EXECUTOR_LIMIT` seconds.
    """
    context = session.sparkContext
    if context.master.startswith("local"):
        return
    deadline = time.monotonic() + EXECUTOR_LIMIT
    tracker = context._jsc.sc().statusTracker()
    registered = 0
    while time.monotonic() < deadline:
        registered = len(tracker.getExecutorInfos()) - 1  # the driver counts itself
        if registered >= workers:
            return
        time.sleep(0.05)
    given = f"provided {registered} of {workers} executors within {EXECUTOR_LIMIT} s"
    if embedded:
        raise ExperimentError(
            f"the run's cluster {given}: this machine is too busy or short of memory; use fewer "
            "--workers, or repeat the command when it is less busy"
        )
    raise ExperimentError(
        f"{context.master} {given}: it has too few free cores or too little memory; use fewer "
        "--workers or free the cluster"
    )
