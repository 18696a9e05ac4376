"""A standalone Spark cluster on loopback, with one-core executors, that lasts for one run."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from data import class_archive
from data.jvm_start import StartWatch, reader, reason
from data.process_environment import LOOPBACK, for_spark
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.processes.private_network import PrivateNetwork
from experiments.spark.secret import (
    authentication,
    driver_environment,
    write_daemon_settings,
    write_settings,
)

#: Logged by a worker that is up.
_REGISTERED = "Successfully registered with master"
#: Logged by a worker whose executor has ended by itself.
_EXECUTOR_ENDED = re.compile(
    r"Executor app-\S+ finished with state (?:EXITED|FAILED)(?!.* exitStatus 0\b)"
)
#: Number of failures of each executor after which no further attempt is awaited.
_MOST_ENDS = 3
#: The daemons do only bookkeeping: a small heap and a compiler that starts fast are sufficient.
_DAEMON_JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    master: str
    processes: tuple[subprocess.Popen, ...]
    #: File with the settings of a driver, with the secret that the cluster requires.
    settings: Path
    #: Network from which a driver can reach the cluster; None is that of this process.
    network: PrivateNetwork | None = None
    #: The watch of the worker by its log file, until the worker is up.
    starting: dict[Path, StartWatch] = field(default_factory=dict)
    #: Log files of ``processes``, in the same order.
    logs: tuple[Path, ...] = ()
    #: Number of executors.
    executors: int = 1

    @property
    def environment(self) -> dict[str, str]:
        """Variables a driver needs in addition to :func:`data.process_environment.for_spark`."""
        return driver_environment(self.settings)

    def check(self) -> None:
        """Raise an error if the worker or an executor cannot start.

        To be called repeatedly until the driver has its executors.

        Raises
        ------
        ExperimentError
            If the worker cannot start or has ended, or its executors end repeatedly.
        """
        for log, watch in [*self.starting.items()]:
            if _REGISTERED in log.read_text(errors="replace"):
                del self.starting[log]
            elif problem := watch.problem():
                raise ExperimentError(f"the worker of the run's cluster did not start: {problem}")
        for process, log in zip(self.processes, self.logs, strict=False):
            if log not in self.starting:
                _check_daemon(process, log, self.executors)


@contextmanager
def embedded_cluster(
    executors: int, memory_mb: int, folder: Path, network: PrivateNetwork | None = None
) -> Iterator[Cluster]:
    """Start a master and a worker for ``executors`` executors of one core; stop both at the end.

    One worker starts all executors, each of which is a process: another worker would be one more
    Java process without any effect on them.

    They accept only connections authenticated with a secret that is generated for each cluster.

    Parameters
    ----------
    executors
        Number of executors of one core that the worker can run.
    memory_mb
        Memory that the worker offers to each executor, in MiB.
    folder
        Folder for logs, the secret and the executors' working folders.
    network
        Network in which the cluster listens; None is that of this process.

    Yields
    ------
    Cluster
        The cluster, whose worker may still be starting.

    Raises
    ------
    ExperimentError
        If the master does not start.
    """
    _local(folder).mkdir(parents=True, exist_ok=True)
    conf, secret = folder / "conf", authentication()
    settings = write_settings(conf, secret)
    daemons = _Daemons(folder, write_daemon_settings(conf, secret), network)
    processes: list[subprocess.Popen] = []
    try:
        logs = [master_log := folder / "master.log"]
        processes.append(daemons.start("master.Master", ["--port", "0"], master_log))
        master = _wait_for(r"Starting Spark master at (spark://\S+)", master_log, processes[0])
        log = folder / "worker.log"
        arguments = ["--cores", str(executors), "--memory", f"{executors * memory_mb}m"]
        arguments += ["--work-dir", str(log.with_suffix("")), master]
        processes.append(daemons.start("worker.Worker", arguments, log))
        starting = {log: StartWatch(processes[-1], reader(log))}
        logs.append(log)
        yield Cluster(master, tuple(processes), settings, network, starting, tuple(logs), executors)
    finally:
        stop(processes)


def _check_daemon(process: subprocess.Popen, log: Path, executors: int) -> None:
    """Raise ExperimentError if a daemon that was up has ended, or its executors keep ending."""
    text = log.read_text(errors="replace")
    if process.poll() is not None:
        raise ExperimentError(
            f"the {log.stem} of the run's cluster ended with status {process.returncode}: "
            f"{reason(text)}"
        )
    if len(_EXECUTOR_ENDED.findall(text)) >= _MOST_ENDS * executors:
        raise ExperimentError(
            f"the executors of the run's cluster end as soon as they start: "
            f"{_last_output(log.with_suffix(''))}"
        )


def _last_output(work: Path) -> str:
    """Return why the newest executor below a worker's folder ``work`` ended, from its output."""
    outputs = [path for path in work.glob("app-*/*/std*") if path.stat().st_size]
    newest = max(outputs, key=lambda path: path.stat().st_mtime, default=work).parent
    texts = [path.read_text(errors="replace") for path in outputs if path.parent == newest]
    return reason("\n".join(texts))


def _local(folder: Path) -> Path:
    return folder / "local"


@dataclass(frozen=True)
class _Daemons:
    """Starts the daemons of a cluster with common settings."""

    folder: Path
    settings: Path
    network: PrivateNetwork | None

    def start(self, kind: str, arguments: list[str], log: Path) -> subprocess.Popen:
        environment = for_spark()
        environment["SPARK_DAEMON_MEMORY"] = "256m"
        options = f"{_DAEMON_JAVA_OPTIONS} {class_archive.options()}"
        environment["SPARK_DAEMON_JAVA_OPTS"] = options
        environment["SPARK_LOCAL_DIRS"] = str(_local(self.folder))
        command = [
            f"{environment['SPARK_HOME']}/bin/spark-class",
            f"org.apache.spark.deploy.{kind}",
            *("--host", LOOPBACK),
            *("--webui-port", "0"),
            *("--properties-file", str(self.settings)),
            *arguments,
        ]
        return start(command, log, environment, self.network)


def _wait_for(pattern: str, log: Path, process: subprocess.Popen) -> str:
    watch = StartWatch(process, reader(log))
    while not (found := re.search(pattern, log.read_text(errors="replace"))):
        if problem := watch.problem():
            raise ExperimentError(f"the master of the run's cluster did not start: {problem}")
        time.sleep(0.05)
    return found[1]
