"""Execution of a plan despite network failures, expired credentials or interruptions."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.deploy.aws import REGION, Sent, call, on_pause, put, trouble
from tests.deploy.test_emr import RUN, cluster, operations, steps, succeed

Send = Callable[[], Any]


def cut_off(_: Send) -> None:
    raise EndpointConnectionError(endpoint_url="https://aws")


def expired(_: Send) -> None:
    raise ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "old"}}, "ListSteps")


def throttled(_: Send) -> None:
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "RunJobFlow")


def answer_lost(send: Send) -> None:
    send()
    raise ReadTimeoutError(endpoint_url="https://aws")


def forbidden(_: Send) -> None:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "TerminateJobFlows")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def go_on() -> None:
    steps("RUNNING")


@pytest.mark.slow
@pytest.mark.parametrize("missed", [cut_off, expired])
def test_a_run_outlasts_a_gap_in_the_network_or_the_credentials(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: Any
) -> None:
    trouble(monkeypatch, "ListSteps", lambda send: send(), missed, missed)
    on_pause(monkeypatch, go_on, go_on, go_on, succeed)
    done = call(*asked, *RUN)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("the run continues on AWS") == 1
    assert (tmp_path / "record" / "mlflow.db").read_text() == "mlflow.db"


@pytest.mark.slow
def test_a_gap_that_stays_ends_with_the_time_limit(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**6, 1800))
    monkeypatch.setattr("deploy.aws.runner.monotonic", lambda: next(clock))
    trouble(monkeypatch, "ListSteps", *[cut_off] * 9)
    on_pause(monkeypatch, *[lambda: None] * 9)
    done = call(*asked, *RUN)
    assert done.exit_code == 1
    assert "did not reach AWS" in done.stderr
    assert "until the time limit" in done.stderr
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_a_gap_while_the_record_is_fetched_is_waited_for(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "GetObject", cut_off)
    on_pause(monkeypatch, succeed, lambda: None)
    assert call(*asked, *RUN).exit_code == 0
    assert (tmp_path / "record" / "mlflow.db").is_file()


@pytest.mark.slow
def test_a_failure_is_told_when_its_reason_cannot_be_had(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        put("sparkdl-bench/runs/first/record/console.log", b"what it said")
        steps("FAILED", "exit code 1")

    trouble(monkeypatch, "DescribeCluster", cut_off)
    on_pause(monkeypatch, fail)
    done = call(*asked, *RUN)
    assert "error: the run ended in state FAILED: exit code 1" in done.stderr
    assert (tmp_path / "record" / "console.log").read_text() == "what it said"


@pytest.mark.slow
def test_a_network_without_its_tag_is_explained(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "Service role sparkdl-bench-emr-service has insufficient EC2 permissions"
    on_pause(monkeypatch, lambda: steps("CANCELLED", why))
    done = call(*asked, *RUN)
    assert "'sparkdl-bench deploy iam emr-service-role' prints the required tags" in done.stderr


@pytest.mark.slow
def test_an_interrupted_run_brings_back_what_there_is(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded() -> None:
        put("sparkdl-bench/runs/first/record/console.log", b"what it said until then")
        interrupt()

    on_pause(monkeypatch, recorded)
    done = call(*asked, *RUN)
    assert done.exit_code == 130
    assert done.stderr.endswith("interrupted: everything started was stopped\n")
    assert (tmp_path / "record" / "console.log").read_text() == "what it said until then"


@pytest.mark.slow
def test_records_that_wait_are_brought_back_and_told(
    sent: Sent, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tarfile

    pending = tmp_path / "outbox" / "r1" / "parcel.json"
    pending.parent.mkdir(parents=True)
    pending.write_text("content")
    with tarfile.open(tmp_path / "outbox.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "outbox", "outbox")
    waiting = (tmp_path / "outbox.tar.gz").read_bytes()
    put("sparkdl-bench/runs/first/record/outbox.tar.gz", waiting)
    on_pause(monkeypatch, succeed)
    done = call(*asked, *RUN)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "record" / "outbox" / "r1" / "parcel.json").read_text() == "content"
    assert f"sparkdl-bench sync --work {tmp_path / 'record'}" in done.stderr


@pytest.mark.slow
def test_a_cluster_whose_answer_was_lost_is_followed_and_made_once(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "RunJobFlow", answer_lost)
    on_pause(monkeypatch, lambda: None, succeed)
    done = call(*asked, *RUN)
    assert done.exit_code == 0, done.output
    assert operations(sent).count("RunJobFlow") == 1
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_a_cluster_that_may_be_running_is_said(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "RunJobFlow", cut_off)
    on_pause(monkeypatch, *[lambda: None] * 4)
    done = call(*asked, *RUN)
    assert done.exit_code == 1
    assert "'sparkdl-bench first' was not found but may still start" in done.stderr
    assert f"aws emr list-clusters --region {REGION} --active" in done.stderr


@pytest.mark.slow
def test_a_step_whose_answer_was_lost_is_followed_and_added_once(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_pause(monkeypatch, succeed)
    assert call(*asked, *RUN).exit_code == 0
    cluster().state = "WAITING"
    sent.clear()
    trouble(monkeypatch, "AddJobFlowSteps", answer_lost)
    on_pause(monkeypatch, lambda: None, succeed)
    done = call(*asked, "--cluster", cluster().id, *RUN)
    assert done.exit_code == 0, done.output
    assert operations(sent).count("AddJobFlowSteps") == 1


@pytest.mark.slow
def test_a_request_that_was_refused_for_now_is_repeated(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "RunJobFlow", throttled, throttled)
    on_pause(monkeypatch, lambda: None, lambda: None, succeed)
    assert call(*asked, *RUN).exit_code == 0
    assert operations(sent).count("RunJobFlow") == 1


@pytest.mark.slow
def test_ctrl_c_while_a_cluster_is_made_ends_it(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(send: Send) -> Any:
        interrupt()
        return send()

    trouble(monkeypatch, "RunJobFlow", interrupted)
    done = call(*asked, *RUN)
    assert done.exit_code == 130, done.output
    assert cluster().state == "TERMINATED"


@pytest.mark.slow
def test_ending_cannot_be_interrupted(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(send: Send) -> Any:
        interrupt()
        os.kill(os.getpid(), signal.SIGTERM)
        return send()

    trouble(monkeypatch, "TerminateJobFlows", impatient)
    on_pause(monkeypatch, interrupt)
    done = call(*asked, *RUN)
    assert done.exit_code == 130
    assert done.stderr.count("still stopping what was started") == 2
    assert cluster().state == "TERMINATED"
    assert done.stderr.endswith("interrupted: everything started was stopped\n")


@pytest.mark.slow
def test_what_could_not_be_ended_is_the_last_word(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "TerminateJobFlows", forbidden)
    on_pause(monkeypatch, interrupt)
    done = call(*asked, *RUN)
    assert done.exit_code == 130
    last = done.stderr.splitlines()[-1]
    assert last.startswith("interrupted: not everything could be stopped")
    assert f"terminate-clusters --region {REGION} --cluster-ids {cluster().id}" in last


@pytest.mark.slow
def test_an_interruption_before_anything_was_started_says_so(
    sent: Sent, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(monkeypatch, "HeadObject", lambda _: interrupt())
    done = call(*asked, *RUN)
    assert done.exit_code == 130
    assert done.stderr.endswith("interrupted: nothing had been started\n")
    assert operations(sent) == []
