"""What a run on YARN or Kubernetes needs, as the command that starts it.

The driver runs where the command runs (Spark's client mode): the harness starts it, watches it and
closes the record. Only settings that the harness does not make itself stand here; how executors
get their Python is ``--environment`` of ``run_experiment.py``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.errors import DeployError

#: Both managers draw a secret for each application and hand it to its executors.
_AUTHENTICATED = {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
#: Fixed, so that a Kubernetes service or a firewall can let executors through to the driver.
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079


@dataclass(frozen=True)
class Yarn:
    """A Hadoop cluster, which ``HADOOP_CONF_DIR`` names."""

    #: What ``python -m deploy pack`` has made: a file, or an address that Hadoop reads.
    archive: str
    #: Of an executor beside its heap: TensorFlow lives in the Python worker, not in the JVM.
    overhead: str = "2g"
    queue: str | None = None
    #: Spark's jars in the cluster's own file system, which are uploaded for each run otherwise.
    spark_archive: str | None = None

    def options(self) -> list[str]:
        """Return options of ``run_experiment.py``."""
        return [
            "--master=yarn",
            "--environment=archive",
            f"--environment-archive={self.archive}",
        ]

    def settings(self) -> dict[str, str]:
        """Return Spark's settings."""
        settings = {**_AUTHENTICATED, "spark.executor.memoryOverhead": self.overhead}
        if self.queue:
            settings["spark.yarn.queue"] = self.queue
        if self.spark_archive:
            settings["spark.yarn.archive"] = self.spark_archive
        return settings

    def check(self, environment: Mapping[str, str]) -> None:
        """Refuse to start where Spark would find no cluster.

        Raises
        ------
        DeployError
            When no variable names Hadoop's configuration.
        """
        if not (environment.get("HADOOP_CONF_DIR") or environment.get("YARN_CONF_DIR")):
            raise DeployError(
                "set HADOOP_CONF_DIR to the folder with yarn-site.xml: Spark finds the cluster by "
                "it"
            )


@dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes cluster, seen from the driver's pod."""

    #: Built from ``deploy/Dockerfile``; the driver's pod runs it too.
    image: str
    #: Address of the cluster's programming interface.
    server: str = "https://kubernetes.default.svc"
    namespace: str = "default"
    #: Headless service that selects the driver's pod.
    driver_host: str = "sparkdl-driver"
    #: The pod that executors are deleted with.
    driver_pod: str | None = None
    #: Account of the executors' pods; it needs no rights.
    executor_account: str | None = None
    #: Secret with the keys ``access-key`` and ``secret-key`` of the object store.
    store_secret: str | None = None
    overhead: str = "2g"

    def options(self) -> list[str]:
        """Return options of ``run_experiment.py``."""
        return [f"--master=k8s://{self.server}", "--environment=image"]

    def settings(self) -> dict[str, str]:
        """Return Spark's settings."""
        settings = {
            **_AUTHENTICATED,
            "spark.kubernetes.container.image": self.image,
            "spark.kubernetes.namespace": self.namespace,
            "spark.driver.host": self.driver_host,
            "spark.driver.bindAddress": "0.0.0.0",
            "spark.driver.port": str(DRIVER_PORT),
            "spark.driver.blockManager.port": str(BLOCK_MANAGER_PORT),
            "spark.executor.memoryOverhead": self.overhead,
        }
        if self.driver_pod:
            settings["spark.kubernetes.driver.pod.name"] = self.driver_pod
        if self.executor_account:
            account = "spark.kubernetes.authenticate.executor.serviceAccountName"
            settings[account] = self.executor_account
        if self.store_secret:
            # A reference: the key itself is in no setting and so in no record.
            reference = "spark.kubernetes.executor.secretKeyRef"
            settings[f"{reference}.AWS_ACCESS_KEY_ID"] = f"{self.store_secret}:access-key"
            settings[f"{reference}.AWS_SECRET_ACCESS_KEY"] = f"{self.store_secret}:secret-key"
        return settings

    def check(self, environment: Mapping[str, str]) -> None:
        """Refuse to start where Spark could not ask for pods.

        Raises
        ------
        DeployError
            Outside a pod.
        """
        if "KUBERNETES_SERVICE_HOST" not in environment:
            raise DeployError(
                "the driver runs in a pod, where executors reach it: see docs/clusters.md, or add "
                "--dry-run to see the command"
            )


def command(cluster: Yarn | Kubernetes, prepared: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the command that runs an experiment on ``cluster``.

    Parameters
    ----------
    prepared
        Where prepared images go: an address that driver and executors both reach.
    arguments
        Further options of ``run_experiment.py``.

    Raises
    ------
    DeployError
        When ``prepared`` is on this machine, or ``arguments`` would replace the settings.
    """
    if "://" not in prepared:
        raise DeployError(
            f"--prepared {prepared}: executors do not reach this machine's folders; name an "
            "address such as s3://bucket/prepared"
        )
    if any(argument.removeprefix("--set=").startswith("spark.conf=") for argument in arguments):
        raise DeployError(
            "--set spark.conf=… would replace the cluster's settings: add --dry-run, and extend "
            "them in the command that is printed"
        )
    settings = json.dumps(cluster.settings(), sort_keys=True)
    return [
        "run_experiment.py",
        *cluster.options(),
        f"--prepared={prepared}",
        f"--set=spark.conf={settings}",
        *arguments,
    ]
