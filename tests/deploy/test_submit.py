import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.entrypoint import command as container_command
from deploy.errors import DeployError
from deploy.submit import Kubernetes, Yarn, command

SETTING = "--set=spark.conf="


def test_yarn_gets_the_archive_and_a_secret_of_its_own_for_each_application() -> None:
    cluster = Yarn(
        "s3://bucket/environment.tar.gz", queue="research", spark_archive="hdfs:///s.zip"
    )
    made = command(cluster, "s3://bucket/prepared", ["--backend", "elephas"])
    settings = json.loads(made.pop(5).removeprefix(SETTING))
    assert made == [
        "run_experiment.py",
        "--master=yarn",
        "--environment=archive",
        "--environment-archive=s3://bucket/environment.tar.gz",
        "--prepared=s3://bucket/prepared",
        "--backend",
        "elephas",
    ]
    assert settings == {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.executor.memoryOverhead": "2g",
        "spark.yarn.queue": "research",
        "spark.yarn.archive": "hdfs:///s.zip",
    }


def test_kubernetes_gets_the_image_a_way_to_the_driver_and_references_to_keys() -> None:
    cluster = Kubernetes(
        "registry.example/sparkdl-bench:0.1.0",
        namespace="bench",
        driver_pod="driver-1",
        executor_account="nobody",
        store_secret="store",  # pragma: allowlist secret
        overhead="3g",
    )
    made = command(cluster, "s3://bucket/prepared")
    assert made[:4] == [
        "run_experiment.py",
        "--master=k8s://https://kubernetes.default.svc",
        "--environment=image",
        "--prepared=s3://bucket/prepared",
    ]
    assert json.loads(made[4].removeprefix(SETTING)) == {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.kubernetes.container.image": "registry.example/sparkdl-bench:0.1.0",
        "spark.kubernetes.namespace": "bench",
        "spark.kubernetes.driver.pod.name": "driver-1",
        "spark.kubernetes.authenticate.executor.serviceAccountName": "nobody",
        "spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID": "store:access-key",
        # pragma: allowlist nextline secret
        "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY": "store:secret-key",
        "spark.driver.host": "sparkdl-driver",
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.driver.port": "7078",
        "spark.driver.blockManager.port": "7079",
        "spark.executor.memoryOverhead": "3g",
    }


def test_data_must_be_where_executors_reach_it() -> None:
    with pytest.raises(DeployError, match="use an address such as s3://"):
        command(Yarn("environment.tar.gz"), "work/prepared")


@pytest.mark.parametrize("how", [["--set=spark.conf={}"], ["--set", "spark.conf={}"]])
def test_settings_of_the_cluster_are_not_replaced_unseen(how: list[str]) -> None:
    with pytest.raises(DeployError, match="would replace"):
        command(Yarn("environment.tar.gz"), "s3://bucket/prepared", how)


def test_dry_run_prints_a_command_that_a_shell_can_read() -> None:
    arguments = "submit yarn --archive e.tar.gz --prepared s3://b/p --dry-run -- --backend elephas"
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0, result.output
    words = shlex.split(result.output)
    assert words[0] == "python"
    assert words[1:] == command(Yarn("e.tar.gz"), "s3://b/p", ["--backend", "elephas"])


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("submit yarn --archive e.tar.gz --prepared s3://b/p", "set HADOOP_CONF_DIR"),
        ("submit kubernetes --image i:1.0 --prepared s3://b/p", "runs in a pod"),
    ],
)
def test_without_a_cluster_nothing_is_started(
    arguments: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 2
    assert advice in result.output


def test_image_becomes_the_executor_that_kubernetes_asks_for() -> None:
    told = {
        "JAVA_HOME": "/java",
        "SPARK_HOME": "/spark",
        "SPARK_EXECUTOR_MEMORY": "1g",
        "SPARK_DRIVER_URL": "spark://scheduler@driver:7078",
        "SPARK_EXECUTOR_ID": "3",
        "SPARK_EXECUTOR_CORES": "1",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.3",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "executor-3",
        **{f"SPARK_JAVA_OPT_{number}": f"-Doption={number}" for number in (10, 2)},
    }
    made = container_command(["executor"], told)
    assert made[:7] == [
        "/java/bin/java", "-Doption=2", "-Doption=10", "-Xms1g", "-Xmx1g", "-cp", "/spark/jars/*",
    ]  # fmt: skip
    options = dict(zip(made[8::2], made[9::2], strict=True))
    assert options["--driver-url"] == "spark://scheduler@driver:7078"
    assert options["--podName"] == "executor-3"
    assert len(options) == 7
    other = ["mlflow", "server"]
    assert container_command(other, {}) == other


def test_image_has_the_python_that_kubernetes_runs_are_told() -> None:
    from experiments.config import IMAGE_PYTHON

    dockerfile = (Path(__file__).parents[2] / "deploy" / "Dockerfile").read_text()
    assert f"PATH={Path(IMAGE_PYTHON).parent}:" in dockerfile
