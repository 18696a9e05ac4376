"""A standalone Spark cluster on loopback: one master, one-core workers, gone with the run."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from data.jvm_start import StartWatch, reader
from data.process_environment import LOOPBACK, for_spark
from experiments.errors import ExperimentError
from experiments.processes import start, stop

#: What a worker writes when it is up.
_REGISTERED = "Successfully registered with master"
#: The daemons only keep books: a small heap and a compiler that starts fast.
_DAEMON_JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    master: str
    processes: tuple[subprocess.Popen, ...]
    #: Workers that may not be up yet: their logs, and who watches them.
    starting: dict[Path, StartWatch] = field(default_factory=dict)

    def check(self) -> None:
        """Look at the workers that are starting; to be called from time to time.

        Raises
        ------
        ExperimentError
            When one will not be up.
        """
        for log, watch in [*self.starting.items()]:
            if _REGISTERED in log.read_text(errors="replace"):
                del self.starting[log]
            elif problem := watch.problem():
                raise ExperimentError(f"a worker of the run's cluster did not start: {problem}")


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
        starting = {}
        for number in range(workers):
            log = folder / f"worker-{number}.log"
            work = folder / f"worker-{number}"
            arguments = ["--cores", "1", "--memory", f"{memory_mb}m", "--webui-port", "0"]
            arguments += ["--work-dir", str(work), master]
            processes.append(_daemon("worker.Worker", arguments, log, folder))
            starting[log] = StartWatch(processes[-1], reader(log))
        yield Cluster(master, tuple(processes), starting)
    finally:
        stop(processes)


def _local(folder: Path) -> Path:
    return folder / "local"


def _daemon(kind: str, arguments: list[str], log: Path, folder: Path) -> subprocess.Popen:
    environment = for_spark()
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
    watch = StartWatch(process, reader(log))
    while not (found := re.search(pattern, log.read_text(errors="replace"))):
        if problem := watch.problem():
            raise ExperimentError(f"the master of the run's cluster did not start: {problem}")
        time.sleep(0.05)
    return found[1]
