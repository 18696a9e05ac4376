"""A run on EMR Serverless: against moto, and the driver with a real ``spark-submit``."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.emrserverless import models

from data.process_environment import for_spark
from data.project import ROOT
from deploy.aws.emr import serverless as emr_serverless
from experiments.spark.cluster import embedded_cluster
from tests.deploy.aws import BUCKET, REGION, ROLE, Sent, aws, call, on_pause, put, shown
from tests.s3_server import BUCKET as SERVER_BUCKET
from tests.s3_server import ENVIRONMENT, client, keys, s3_server

RUN = ["--", "--backend", "elephas"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    with aws(monkeypatch) as noted:
        put("environment.tar.gz", b"an archive")
        yield noted


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    options = {
        "--bucket": BUCKET,
        "--region": REGION,
        "--name": "first",
        "--environment-archive": f"s3://{BUCKET}/environment.tar.gz",
        "--output": str(tmp_path / "record"),
        "--role": ROLE,
    }
    return ["emr", "--serverless", *[word for pair in options.items() for word in pair]]


def states() -> list[str]:
    found = boto3.client("emr-serverless", region_name=REGION).list_applications()
    return [application["state"] for application in found["applications"]]


def test_what_a_dry_run_shows_is_what_is_sent_and_nothing_is_left(
    sent: Sent, asked: list[str], tmp_path: Path
) -> None:
    dry = call(*asked, "--dry-run", *RUN)
    assert dry.exit_code == 0, dry.output
    assert sent == []
    planned = [request[:2] for request in shown(dry.stdout, well=True)]
    for name in ("mlflow.db", "records.jsonl", "console.log"):
        put(f"sparkdl-bench/runs/first/record/{name}", name.encode())
    done = call(*asked, *RUN)
    assert done.exit_code == 0, done.output
    assert [request[:2] for request in sent] == planned
    assert (tmp_path / "record" / "mlflow.db").read_text() == "mlflow.db"
    assert states() == ["TERMINATED"]


@pytest.mark.slow
def test_a_job_cannot_outgrow_or_outlive_what_was_estimated(sent: Sent, asked: list[str]) -> None:
    dry = call(*asked, "--max-hours", "1", "--dry-run", *RUN)
    bodies = {operation: body for _, operation, body in shown(dry.stdout)}
    assert bodies["StartJobRun"]["executionTimeoutMinutes"] == 60
    arguments = bodies["StartJobRun"]["jobDriver"]["sparkSubmit"]["entryPointArguments"]
    assert arguments[:2] == [f"s3://{BUCKET}/sparkdl-bench/runs/first/record", str(52 * 60)]
    capacity = bodies["CreateApplication"]["maximumCapacity"]
    # A driver with 4 vCPU and 16 GB, two executors with one core, 1 GB of heap and 2 GB for Python.
    assert capacity == {"cpu": "6 vCPU", "memory": "22 GB", "disk": "120 GB"}
    spark = bodies["StartJobRun"]["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
    assert "--conf spark.executor.instances=2 " in spark
    assert "--conf spark.executor.memory=1024m --conf spark.executor.memoryOverhead=2048m" in spark


def test_ctrl_c_cancels_the_job_and_deletes_the_application(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "JOB_STATUS", "RUNNING")
    on_pause(monkeypatch, interrupt)
    done = call(*asked, *RUN)
    assert done.exit_code == 130, done.output
    operations = [operation for _, operation, _ in sent]
    end = operations.index("CancelJobRun")
    assert operations[end : end + 5] == [
        "CancelJobRun",
        "GetJobRun",  # an application cannot stop while its job is ending
        "StopApplication",
        "GetApplication",
        "DeleteApplication",
    ]
    assert "interrupted: everything started was stopped" in done.stderr
    assert states() == ["TERMINATED"]


@pytest.mark.slow
def test_a_failed_job_is_told(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "JOB_STATUS", "FAILED")
    done = call(*asked, *RUN)
    assert done.exit_code == 1
    assert (
        f"error: the run ended in state FAILED; see s3://{BUCKET}/sparkdl-bench/logs/"
        in done.stderr
    )
    assert states() == ["TERMINATED"]


def test_an_application_that_is_there_stays(sent: Sent, asked: list[str]) -> None:
    service = boto3.client("emr-serverless", region_name=REGION)
    there = service.create_application(name="mine", releaseLabel="emr-7.9.0", type="SPARK")
    sent.clear()
    call(*asked, "--application", there["applicationId"], *RUN)
    operations = {operation for _, operation, _ in sent}
    assert "StartJobRun" in operations
    assert operations.isdisjoint({"CreateApplication", "StopApplication", "DeleteApplication"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--", "--backend", "elephas", "--seed", "0", "--seed", "1"], "is one Spark application"),
        (["--", "--backend", "bigdl"], "use a cluster (without --serverless)"),
        ([*RUN, "--set", "spark.executor_memory=9g"], "larger than EMR Serverless offers (8)"),
        (["--max-cost", "0.1", *RUN], "above --max-cost 0.10"),
    ],
)
def test_what_a_job_cannot_hold_is_refused(
    sent: Sent, asked: list[str], options: list[str], message: str
) -> None:
    done = call(*asked, *options)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert sent == []


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_the_driver_that_spark_submit_starts_trains_on_its_own_executors(
    cells: Path, tmp_path: Path
) -> None:
    """``spark-submit`` of a standalone cluster replaces AWS's; the rest is as on AWS."""
    (tmp_path / "code").symlink_to(ROOT)
    events = tmp_path / "events"
    events.mkdir()
    home = for_spark()
    options = ["--backend", "elephas", "--data", str(cells), "--epochs", "1", "--json"]
    options += ["--tracking-uri", "sqlite:///record/mlflow.db"]
    options += ["--set", "data.image.height=24", "--set", "data.image.width=24"]
    with s3_server(tmp_path) as address, embedded_cluster(2, 1536, tmp_path / "c") as cluster:
        done = subprocess.run(
            [
                f"{home['SPARK_HOME']}/bin/spark-submit",
                *("--master", cluster.master, "--driver-memory", "1g"),
                *("--conf", "spark.eventLog.enabled=true"),
                *("--conf", f"spark.eventLog.dir={events.as_uri()}"),
                str(Path(emr_serverless.__file__).with_name("serverless_entry.py")),
                f"s3://{SERVER_BUCKET}/runs/first/record",
                "200",
                *options,
            ],
            cwd=tmp_path,
            env={
                **home,
                "SPARK_CONF_DIR": str(cluster.settings.parent),
                **ENVIRONMENT,
                "AWS_ENDPOINT_URL_S3": address,
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        brought = keys(address, "runs/first/record")
        content = (
            client(address)
            .get_object(Bucket=SERVER_BUCKET, Key="runs/first/record/records.jsonl")["Body"]
            .read()
        )
    record = json.loads(content)
    assert record["status"] == "FINISHED", record["reason"]
    names = {key.rpartition("/")[2] for key in brought}
    assert names == {"mlflow.db", "records.jsonl", "console.log"}
    # Written by the JVM that spark-submit started, so the run has connected to it.
    (log,) = events.iterdir()
    assert "SparkListenerExecutorAdded" in log.read_text()
