"""A run on an EMR cluster against moto: the printed requests are sent, everything is stopped."""

import subprocess
import sys
import tarfile
from itertools import chain, repeat
from pathlib import Path

import pytest
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from deploy.aws import runner, storage
from experiments.loading import shipped
from tests.deploy.aws import (
    BUCKET,
    REGION,
    SECRET,
    Sent,
    call,
    on_pause,
    put,
    shown,
)

RUN = ["--", "--backend", "elephas", "--workers", "4", "--batch-size", "64"]


def cluster():
    (found,) = get_backend("emr")[DEFAULT_ACCOUNT_ID][REGION].clusters.values()
    return found


def steps(state: str, reason: str | None = None) -> None:
    cluster().steps[-1].state = state
    cluster().steps[-1].last_state_change_reason = reason


def succeed() -> None:
    for name in ("mlflow.db", "records.jsonl", "console.log"):
        put(f"sparkdl-bench/runs/first/record/{name}", name.encode())
    steps("COMPLETED")


def operations(sent: Sent) -> list[str]:
    return [operation for _, operation, _ in sent]


@pytest.mark.slow
def test_what_a_dry_run_shows_is_what_is_sent(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = call(*asked, "--dry-run", *RUN)
    assert dry.exit_code == 0, dry.output
    assert sent == []
    planned = shown(dry.stdout, well=True)
    pauses = on_pause(monkeypatch, lambda: steps("RUNNING"), succeed)
    done = call(*asked, *RUN)
    assert done.exit_code == 0, done.output
    assert pauses == [runner.PAUSE] * 2
    really = [request for n, request in enumerate(sent) if request not in sent[:n]]
    assert [request[:2] for request in really] == [request[:2] for request in planned]
    identity = cluster().id
    for (_, operation, given), (_, _, expected) in zip(really, planned, strict=True):
        resolved = {
            key: identity
            if value == "<ClusterId>"
            else [identity]
            if "JobFlowIds" in key
            else value
            for key, value in expected.items()
        }
        assert given.items() >= resolved.items(), operation
    assert cluster().state == "TERMINATED"
    assert (tmp_path / "record" / "mlflow.db").read_text() == "mlflow.db"
    assert SECRET not in dry.output + done.output + repr(sent)


@pytest.mark.slow
def test_a_new_cluster_has_spark_alone_and_ends_itself(sent: Sent, asked: list[str]) -> None:
    requests = shown(call(*asked, "--dry-run", *RUN).stdout)
    (request,) = (body for _, operation, body in requests if operation == "RunJobFlow")
    assert request["Applications"] == [{"Name": "Spark"}]
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is False
    (step,) = request["Steps"]
    assert step["ActionOnFailure"] == "TERMINATE_CLUSTER"
    words = step["HadoopJarStep"]["Args"]
    assert words[1:5] == [
        "run",
        f"s3://{BUCKET}/sparkdl-bench/runs/first",
        REGION,
        str(105 * 60),  # a quarter of an hour before the two hours are over
    ]
    assert words[-2:] == ["--master", "yarn"]
    assert {"--json", "--tracking-uri", "--artifacts", "--prepared", "--platform"} <= set(words)


@pytest.mark.slow
def test_an_environment_is_uploaded_once(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        on_pause(monkeypatch, succeed)
        get_backend("emr")[DEFAULT_ACCOUNT_ID][REGION].clusters.clear()
        assert call(*asked, *RUN).exit_code == 0
    uploads = [body["Key"] for _, operation, body in sent if operation == "PutObject"]
    environments = [key for key in uploads if key.startswith("sparkdl-bench/environments/")]
    assert len(environments) == 1


@pytest.mark.slow
def test_a_cluster_that_is_there_stays(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_pause(monkeypatch, succeed)
    assert call(*asked, *RUN).exit_code == 0
    cluster().state, identity = "WAITING", cluster().id
    sent.clear()
    on_pause(monkeypatch, succeed, succeed)
    done = call(*asked, "--cluster", identity, "--max-cost", "0", *RUN)
    assert done.exit_code == 0, done.output
    assert cluster().state != "TERMINATED"
    assert "RunJobFlow" not in operations(sent)
    assert "TerminateJobFlows" not in operations(sent)
    (added,) = (body for _, operation, body in sent if operation == "AddJobFlowSteps")
    assert added["Steps"][0]["ActionOnFailure"] == "CONTINUE"


@pytest.mark.slow
def test_a_failed_step_is_told_with_its_reason_and_the_place_of_its_logs(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        put("sparkdl-bench/runs/first/record/console.log", b"what it said")
        steps("FAILED", "exit code 1")

    on_pause(monkeypatch, fail)
    done = call(*asked, *RUN)
    assert done.exit_code == 1
    assert "error: the run ended in state FAILED: exit code 1" in done.stderr
    assert f"s3://{BUCKET}/sparkdl-bench/logs/" in done.stderr
    assert (tmp_path / "record" / "console.log").read_text() == "what it said"
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_ctrl_c_ends_the_cluster(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    on_pause(monkeypatch, interrupt)
    done = call(*asked, *RUN)
    assert done.exit_code == 130
    assert "interrupted" in done.stderr
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_a_cluster_that_outlives_its_hours_is_ended_from_here(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = chain([0.0, 0.0, 1.0], repeat(2.1))
    monkeypatch.setattr(runner, "monotonic", lambda: next(hours) * 3600)
    on_pause(monkeypatch, *[lambda: steps("RUNNING")] * 3)
    done = call(*asked, *RUN)
    assert done.exit_code == 1
    assert "still RUNNING at the time limit" in done.stderr
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_a_cluster_that_cannot_be_ended_is_said(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def protect() -> None:
        succeed()
        cluster().termination_protected = True

    on_pause(monkeypatch, protect)
    done = call(*asked, *RUN)
    assert f"terminate-clusters --region {REGION} --cluster-ids {cluster().id}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-cost", "0.5"], "above --max-cost 0.50"),
        (["--max-hours", "40"], "above --max-cost 5.00"),
        (["--instance-type", "x9.huge"], "no price is known for x9.huge"),
        (["--instance-type", "x9.huge", "--price-per-hour", "9"], "above --max-cost"),
        (["--max-hours", "0.1"], "--max-hours: Input should be greater than 0.25"),
        (["--core-nodes", "0", *RUN[:-2], "--workers", "5", "--batch-size", "50"], "5 workers"),
        (
            ["--core-nodes", "0", *RUN],
            "1 x m5.xlarge can hold 3 executors, not 4: each takes 3,072",
        ),
        ([*RUN, "--set", "spark.executor_memory=6g"], "can hold 2 executors, not 4"),
        (["--environment-archive", "none.tar.gz"], "create it with 'sparkdl-bench deploy pack'"),
        (["--serverless"], "ARN of a role"),
        (["--serverless", "--price-per-hour", "1"], "--price-per-hour cannot be given here"),
        (["--serverless", "--spot"], "--spot cannot be given here: EMR Serverless has no cluster"),
        (["--serverless", "--cluster", "j-1"], "--cluster cannot be given here"),
        (["--application", "a", "--cluster", "j-1"], "--cluster cannot be given here"),
        (["--application", "a", "--subnet", "s"], "--subnet cannot be given here: a already"),
        (
            ["--cluster", "j-1", "--core-nodes", "2"],
            "--core-nodes cannot be given here: j-1 already",
        ),
        (["--security-group", "sg-1", "--subnet", "s"], "EMR creates the security groups"),
        (["--role", "arn"], "--role cannot be given here: it is for --serverless"),
        (["--subnet", "s-1", "--subnet", "s-2"], "a cluster is in one subnet"),
        (["--serverless", "--security-group", "sg-1"], "it requires a --subnet"),
        (["--", "--mastr", "yarn"], "No such option: --mastr"),
        (["--", "--master", "yarn"], "the cluster determines Spark's master"),
        (
            [
                *("--", "--set", "spark.master=yarn", "--set", "spark.environment=archive"),
                *("--set", "spark.environment_archive=mine.tar.gz"),
            ],
            "spark.environment 'archive' cannot be given: every machine gets the archive",
        ),
        (["--", "--data", "/home/me/cells"], "aws s3 sync /home/me/cells"),
        (["--", "--experiment", "malria"], "did you mean 'malaria'?"),
        (["--", "--tracking-uri", "sqlite:///x.db"], "a cluster can only use a server"),
        (
            ["--", "--tracking-uri", "http://me:geheim@host"],  # pragma: allowlist secret
            "contains a password",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    sent: Sent, asked: list[str], options: list[str], message: str
) -> None:
    done = call(*asked, *options)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("\n") == 1
    assert "geheim" not in done.output
    assert sent == []


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_one_line(sent: Sent, asked: list[str]) -> None:
    done = call(*[BUCKET + "-of-nobody" if word == BUCKET else word for word in asked], *RUN)
    assert done.exit_code == 2
    assert "error: there is no such bucket" in done.stderr
    assert "RunJobFlow" not in operations(sent)


def test_missing_credentials_are_one_line(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    done = call(*asked, *RUN)
    assert done.exit_code == 2
    assert "error: no AWS credentials were found: set AWS_PROFILE" in done.stderr


@pytest.mark.slow
def test_the_code_of_a_run_is_complete_and_always_the_same(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("name: mine\npositive_class: sick\n")
    first = storage.pack_code(tmp_path / "a" / "code.tar.gz", own)
    second = storage.pack_code(tmp_path / "b" / "code.tar.gz", own)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        archive.extractall(tmp_path / "code", filter="data")
    assert (tmp_path / "code" / "experiment.yaml").read_text() == own.read_text()
    script = "from experiments.loading import load, shipped; import backends.registry\n"
    script += "print(load('experiment.yaml').name, *shipped())"
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "code",
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert "malaria" in shipped()
    assert told.stdout.split() == ["mine", *shipped()]
