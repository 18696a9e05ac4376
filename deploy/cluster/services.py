"""The processes of the cluster: their commands, hosts and health checks."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from deploy.cluster.environment import java_home, spark_class
from deploy.cluster.network import Network

MASTER_PORT, MASTER_WEB, WORKER_WEB, HISTORY_WEB = 7077, 8080, 8081, 18080
MLFLOW_PORT, S3_PORT = 5000, 9000
#: Path of the unpacked environment on every host; the same as in the container image.
HOST_ENVIRONMENT = Path("/opt/sparkdl")
_DAEMON_JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"
_DAEMON_MEMORY = "256m"
#: Last part of each host's address; those of the workers count up from ``FIRST_WORKER``.
NUMBERS = {"driver": 10, "master": 11, "history": 12, "mlflow": 13, "s3": 14}
FIRST_WORKER = 101


@dataclass(frozen=True)
class Service:
    """A process to start."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(repr=False)
    #: Address for clients.
    address: str
    #: URL of the health check.
    health: str
    #: True if the host has only the packed environment and hides this machine's Python.
    bare: bool


@dataclass(frozen=True)
class Layout:
    """The configuration from which the services are derived."""

    network: Network
    #: Folder of the cluster.
    folder: Path
    #: Folder of the unpacked environment.
    environment: Path
    #: Folder for ``SPARK_CONF_DIR``.
    conf: Path
    credentials: Mapping[str, str] = field(repr=False)
    cores: int
    memory: str

    def services(self) -> Iterator[Service]:
        """Yield the services in the order in which they start."""
        at = self.network.hosts
        master = f"spark://{at['master']}:{MASTER_PORT}"
        yield self._daemon(
            "master",
            "master.Master",
            ["--host", at["master"], "--port", f"{MASTER_PORT}", "--webui-port", f"{MASTER_WEB}"],
            master,
            f"http://{at['master']}:{MASTER_WEB}/json/",
        )
        for host in at:
            if host.startswith("worker-"):
                arguments = ["--host", at[host], "--webui-port", str(WORKER_WEB)]
                arguments += ["--cores", str(self.cores), "--memory", self.memory]
                arguments += ["--work-dir", str(self.folder / "hosts" / host / "work"), master]
                web = f"http://{at[host]}:{WORKER_WEB}"
                yield self._daemon(host, "worker.Worker", arguments, web, f"{web}/json/")
        history = f"http://{at['history']}:{HISTORY_WEB}"
        yield self._daemon(
            "history", "history.HistoryServer", [], history, f"{history}/api/v1/version"
        )
        yield self._mlflow()
        if has_s3():
            yield self._s3()

    def _daemon(
        self, host: str, kind: str, arguments: list[str], address: str, health: str
    ) -> Service:
        inside = HOST_ENVIRONMENT
        java = inside / java_home(self.environment).relative_to(self.environment)
        program = inside / spark_class(self.environment).relative_to(self.environment)
        home = self.folder / "hosts" / host
        environment = {
            **self._base(host),
            "JAVA_HOME": str(java),
            "SPARK_HOME": str(program.parents[1]),
            "SPARK_CONF_DIR": str(self.conf),
            "SPARK_LOCAL_IP": self.network.hosts[host],
            "SPARK_LOCAL_DIRS": str(home / "tmp"),
            "SPARK_DAEMON_MEMORY": _DAEMON_MEMORY,
            "SPARK_DAEMON_JAVA_OPTS": _DAEMON_JAVA_OPTIONS,
        }
        if host.startswith("worker-"):
            # Passed to the executors that it starts, as the role of a cloud machine would do.
            environment |= self.credentials
        command = [str(program), f"org.apache.spark.deploy.{kind}", *arguments]
        return Service(host, command, environment, address, health, bare=True)

    def _mlflow(self) -> Service:
        folder = self.folder / "mlflow"
        folder.mkdir(exist_ok=True)
        address = f"http://{self.network.hosts['mlflow']}:{MLFLOW_PORT}"
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", self.network.hosts["mlflow"], "--port", str(MLFLOW_PORT)]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        environment = self._base("mlflow")
        return Service("mlflow", command, environment, address, f"{address}/health", bare=False)

    def _s3(self) -> Service:
        address = f"http://{self.network.hosts['s3']}:{S3_PORT}"
        command = [sys.executable, "-m", "moto.server"]
        command += ["-H", self.network.hosts["s3"], "-p", str(S3_PORT)]
        environment = {**self._base("s3"), **self.credentials}
        return Service("s3", command, environment, address, f"{address}/moto-api/", bare=False)

    def _base(self, host: str) -> dict[str, str]:
        """Return environment variables without any setting of the current user.

        Temporary files stay in the system's folder: TensorFlowOnSpark creates sockets there, whose
        paths Linux limits to 107 bytes.
        """
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder / "hosts" / host),
            "LANG": "C.UTF-8",
        }


def has_s3() -> bool:
    """Return whether moto is installed: an S3 server that keeps its objects in memory."""
    return find_spec("moto") is not None
