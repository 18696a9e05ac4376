"""Commands that start a run on YARN or Kubernetes.

The driver runs where the command runs (Spark's client mode): the harness starts it, monitors it and
closes the record. This module contains only settings that the harness does not set itself; the
Python of the executors is chosen by ``--environment`` of ``run_experiment.py``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.errors import DeployError

#: Both cluster managers generate a secret per application and pass it to the executors.
_AUTHENTICATED = {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}
#: Fixed, so that a Kubernetes service or a firewall can admit executors to the driver.
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079


@dataclass(frozen=True)
class Yarn:
    """The Hadoop cluster that ``HADOOP_CONF_DIR`` configures."""

    #: Archive from ``sparkdl-bench deploy pack``: a file, or an address that Hadoop can read.
    archive: str
    #: Executor memory outside the heap: TensorFlow runs in the Python worker, not in the JVM.
    overhead: str = "2g"
    queue: str | None = None
    #: Archive with Spark's jars in the cluster's file system; without it every run uploads them.
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
        """Check that Spark can find the cluster.

        Raises
        ------
        DeployError
            If no variable points to Hadoop's configuration.
        """
        if not (environment.get("HADOOP_CONF_DIR") or environment.get("YARN_CONF_DIR")):
            raise DeployError(
                "set HADOOP_CONF_DIR to the folder with yarn-site.xml: Spark reads the cluster's "
                "address from it"
            )


@dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes cluster, as seen from the driver's pod."""

    #: Image built from ``deploy/Dockerfile``; the driver's pod uses it too.
    image: str
    #: Address of the cluster's API server.
    server: str = "https://kubernetes.default.svc"
    namespace: str = "default"
    #: Headless service that selects the driver's pod.
    driver_host: str = "sparkdl-driver"
    #: Pod of the driver; executors are deleted together with it.
    driver_pod: str | None = None
    #: Service account of the executors' pods; it needs no permissions.
    executor_account: str | None = None
    #: Secret with the keys ``access-key`` and ``secret-key`` of the object store.
    store_secret: str | None = None
    #: Executor memory outside the heap.
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
            # A reference keeps the key itself out of the settings and therefore out of the record.
            reference = "spark.kubernetes.executor.secretKeyRef"
            settings[f"{reference}.AWS_ACCESS_KEY_ID"] = f"{self.store_secret}:access-key"
            settings[f"{reference}.AWS_SECRET_ACCESS_KEY"] = f"{self.store_secret}:secret-key"
        return settings

    def check(self, environment: Mapping[str, str]) -> None:
        """Check that this process runs in a pod.

        Raises
        ------
        DeployError
            If it runs outside a pod, where executors cannot reach the driver.
        """
        if "KUBERNETES_SERVICE_HOST" not in environment:
            raise DeployError(
                "the driver runs in a pod, so that executors can reach it: see docs/clusters.md, "
                "or add --dry-run to print the command"
            )


def command(cluster: Yarn | Kubernetes, prepared: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the command that runs an experiment on ``cluster``.

    Parameters
    ----------
    prepared
        Address for prepared images, accessible to both the driver and the executors.
    arguments
        Further options of ``run_experiment.py``.

    Raises
    ------
    DeployError
        If ``prepared`` is a local path, or ``arguments`` would replace the cluster's settings.
    """
    if "://" not in prepared:
        raise DeployError(
            f"--prepared {prepared}: executors cannot read this machine's folders; use an "
            "address such as s3://bucket/prepared"
        )
    if any(argument.removeprefix("--set=").startswith("spark.conf=") for argument in arguments):
        raise DeployError(
            "--set spark.conf=… would replace the cluster's settings: add --dry-run and extend "
            "the settings in the printed command"
        )
    settings = json.dumps(cluster.settings(), sort_keys=True)
    return [
        "run_experiment.py",
        *cluster.options(),
        f"--prepared={prepared}",
        f"--set=spark.conf={settings}",
        *arguments,
    ]
