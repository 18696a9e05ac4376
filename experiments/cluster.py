"""A standalone Spark cluster on loopback: one master, one-core workers, gone with the run."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.java import find_java
from experiments.errors import ExperimentError
from experiments.processes import start, stop

LOOPBACK = "127.0.0.1"
#: Seconds within which a master or worker JVM must be up; it takes about two on a quiet machine.
START_LIMIT = 90
#: The daemons only keep books: a small heap and a compiler that starts fast.
_DAEMON_JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    master: str
    processes: tuple[subprocess.Popen, ...]


@contextmanager
def embedded_cluster(workers: int, memory_mb: int, folder: Path) -> Iterator[Cluster]:
    """Start a master and ``workers`` workers of one core, and take them down at the end.

    Parameters
    ----------
    workers
        Number of Worker daemons, each of which can hold one executor of one core.
    memory_mb
        What each worker offers to its executor, in MiB.
    folder
        Where logs and the executors' working folders go.

    Raises
    ------
    ExperimentError
        When a daemon does not come up.
    """
    # Of two workers that make the same folder at once, one believes that it cannot, and starts no
    # executor ever after.
    _local(folder).mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen] = []
    try:
        master_log = folder / "master.log"
        processes.append(
            _daemon("master.Master", ["--port", "0", "--webui-port", "0"], master_log, folder)
        )
        master = _wait_for(r"Starting Spark master at (spark://\S+)", master_log, processes[0])
        logs = []
        for number in range(workers):
            logs.append(folder / f"worker-{number}.log")
            work = folder / f"worker-{number}"
            arguments = ["--cores", "1", "--memory", f"{memory_mb}m", "--webui-port", "0"]
            arguments += ["--work-dir", str(work), master]
            processes.append(_daemon("worker.Worker", arguments, logs[-1], folder))
        yield Cluster(master, tuple(processes))
    finally:
        stop(processes)


def spark_environment(address: str | None = LOOPBACK) -> dict[str, str]:
    """Return the environment in which Spark's Java processes start on this machine.

    Parameters
    ----------
    address
        Where they listen; None leaves it to Spark.
    """
    import importlib.util

    specification = importlib.util.find_spec("pyspark")
    if specification is None or specification.origin is None:
        raise ExperimentError("pyspark is not installed: run 'uv sync'")
    own = {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_HOSTNAME": address} if address else {}
    return {
        **os.environ,
        **own,
        "JAVA_HOME": str(find_java()),
        "SPARK_HOME": str(Path(specification.origin).parent),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def _local(folder: Path) -> Path:
    return folder / "local"


def _daemon(kind: str, arguments: list[str], log: Path, folder: Path) -> subprocess.Popen:
    environment = spark_environment()
    environment["SPARK_DAEMON_MEMORY"] = "256m"
    environment["SPARK_DAEMON_JAVA_OPTS"] = _DAEMON_JAVA_OPTIONS
    environment["SPARK_LOCAL_DIRS"] = str(_local(folder))
    command = [
        f"{environment['SPARK_HOME']}/bin/spark-class",
        f"org.apache.spark.deploy.{kind}",
        "--host",
        LOOPBACK,
        *arguments,
    ]
    return start(command, log, environment)


def _wait_for(pattern: str, log: Path, process: subprocess.Popen) -> str:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
        if process.poll() is not None:
            raise ExperimentError(
                f"a Spark daemon ended at once: {(text.strip().splitlines() or ['no output'])[-1]}"
            )
        time.sleep(0.05)
    raise ExperimentError(f"a Spark daemon did not start within {START_LIMIT} s; see {log}")
