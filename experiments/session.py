"""The Spark session of a run's driver."""

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from data import object_store
from experiments import executor_use
from experiments.cluster import LOOPBACK, on_this_machine
from experiments.config import SparkConfig
from experiments.errors import ExperimentError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from backends import Backend, TrainingTask

ROOT = Path(__file__).parent.parent
#: Seconds to wait for all executors of a run.
EXECUTOR_LIMIT = 120
#: Numeric libraries of an executor of one core use one thread.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def start(
    config: SparkConfig, master: str, backend: "Backend", task: "TrainingTask", folder: Path
) -> "SparkSession":
    """Return a session whose executors are all there, with the backend's modules imported.

    Parameters
    ----------
    config
        What each process of Spark gets.
    master
        Spark URL.
    backend, task
        Whose settings and modules, and for how many workers.
    folder
        Where the driver may write.

    Raises
    ------
    ExperimentError
        When the cluster does not give the executors.
    """
    from backends.base import RunContext
    from backends.inference import import_on_executors

    conf = settings(config, task.workers, folder, backend.spark_conf(task))
    session = connect(master, conf, config.driver_memory)
    try:
        ship_code(session, folder)
        wait_for_executors(session, task.workers)
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
    """Return all Spark settings of a run: the harness's, then the backend's, then the user's."""
    conf = {
        "spark.app.name": "sparkdl-bench",
        "spark.cores.max": str(workers),
        "spark.executor.cores": "1",
        "spark.executor.instances": str(workers),
        "spark.executor.memory": spark.executor_memory,
        "spark.dynamicAllocation.enabled": "false",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        # A shard is read from storage: no executor is nearer to it than another.
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
        temporary = f"-Djava.io.tmpdir={tempfile.gettempdir()}"
        conf |= {
            # Spark puts these before the others, which a backend may replace.
            "spark.driver.defaultJavaOptions": temporary,
            "spark.executor.defaultJavaOptions": temporary,
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            "spark.executorEnv.SPARK_LOCAL_IP": LOOPBACK,
        }
    if spark.has_own_executors:
        conf |= executor_use.SETTINGS
        where = object_store.environment()
        conf |= {f"spark.executorEnv.{name}": value for name, value in where.items()}
    return {**conf, **backend, **spark.conf}


def connect(master: str, conf: dict[str, str], driver_memory: str) -> "SparkSession":
    """Return a session on ``master``; its executors may still be starting."""
    from pyspark.sql import SparkSession

    # The heap of the driver's JVM is decided before any setting is read.
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-memory {driver_memory} pyspark-shell"
    builder = SparkSession.builder.master(master)
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    return session


def wait_for_executors(session: "SparkSession", workers: int) -> None:
    """Return when ``workers`` executors have registered.

    Raises
    ------
    ExperimentError
        When the cluster does not give that many.
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
    raise ExperimentError(
        f"{context.master} gave {registered} of {workers} executors within {EXECUTOR_LIMIT} s: "
        "it has too few free cores or too little memory; use fewer --workers or free the cluster"
    )


def ship_code(session: "SparkSession", folder: Path) -> None:
    """Send the rooms that executors import to a cluster that does not share this folder."""
    import zipfile

    if on_this_machine(session.sparkContext.master):
        return
    archive = folder / "sparkdl_bench.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for room in ("data", "models", "backends", "experiments"):
            for source in sorted((ROOT / room).rglob("*.py")):
                bundle.write(source, source.relative_to(ROOT))
    session.sparkContext.addPyFile(str(archive))
