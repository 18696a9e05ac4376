"""The MLflow server fails during a run: requests are retried or the record is sent later."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE
from typer.testing import CliRunner

from backends.ports import LOOPBACK, free_port
from experiments.__main__ import app
from experiments.errors import ExperimentError
from experiments.observer import Observer
from experiments.records import FINISHED
from experiments.tracking import outage, outbox
from experiments.tracking.outage import patiently
from experiments.tracking.outbox import close_run, deliver, send_waiting, waiting
from experiments.tracking.pending_run import PendingRun
from experiments.tracking.recorder import Recorder, check_reachable, now_ms
from tests.experiments.conftest import Run

LIMIT = 90
ARTIFACTS = {"predictions.parquet", "plan.json", "split.json", "confusion_matrix.png"}


class Server:
    """An MLflow server that can be stopped and restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://{LOOPBACK}:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                check_reachable(self.uri)
            except ExperimentError:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
                time.sleep(0.2)
            else:
                return

    def end(self) -> None:
        """Stop the server and the processes that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:  # it waits for connections that stay open
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    own = Server(tmp_path_factory.mktemp("mlflow-server"))
    own.start()
    own.wait()
    yield own
    own.end()


class Ending(Observer):
    """Stops the server when training starts, and restarts it after ``seconds``."""

    def __init__(self, server: Server, seconds: float) -> None:
        self.server = server
        self.seconds: float | None = seconds
        self.told: list[str] = []

    def run_starts(self, *_: Any) -> None:
        self.server.end()

    def record_waits(self, text: str) -> None:
        self.told.append(text)
        if self.seconds is not None:
            threading.Timer(self.seconds, self.server.start).start()
            self.seconds = None


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def assert_complete(server: Server, run_id: str) -> None:
    client = MlflowClient(server.uri)
    stored = client.get_run(run_id)
    assert stored.info.status == FINISHED
    assert stored.data.metrics["test.accuracy"] > 0
    assert stored.data.tags["status_reason"] == "finished"
    assert len(stored.inputs.dataset_inputs) == 1
    assert {item.path for item in client.list_artifacts(run_id)} >= ARTIFACTS
    assert len(client.get_metric_history(run_id, "test.accuracy")) == 1


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_server_that_comes_back_gets_the_record(server: Server, run: Run) -> None:
    observer = Ending(server, seconds=3)
    (record,) = run("majority", name="bridged", tracking_uri=server.uri, observer=observer)
    assert record.status == FINISHED
    assert [line for line in observer.told if "does not answer: retrying for 120 s" in line]
    assert_complete(server, record.run_id)


class Absent(Observer):
    """Stops the server before the run starts."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def data_ready(self, *_: Any) -> None:
        self.server.end()


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_run_that_never_sees_its_server_is_recorded_when_its_record_is_sent(
    server: Server, run: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "PATIENCE", 1)
    observer = Absent(server)
    (record,) = run("majority", name="absent", tracking_uri=server.uri, observer=observer)
    assert (record.status, record.run_id) == (FINISHED, "")
    assert any("will be sent with the next run" in note for note in record.notes)
    ((kept, _),) = waiting(work / "outbox")
    assert kept.start is not None
    arguments = ["send", "--work", str(work)]
    away = CliRunner().invoke(app, arguments)
    assert (away.exit_code, last_line(away.stdout)) == (1, "sent 0, still waiting 1")
    server.start()
    server.wait()
    back = CliRunner().invoke(app, arguments)
    assert (back.exit_code, last_line(back.stdout)) == (0, "sent 1, still waiting 0")
    assert waiting(work / "outbox") == []
    (stored,) = Recorder(server.uri, "absent").runs({"backend": "majority"})
    assert_complete(server, stored.info.run_id)
    assert stored.data.params["name"] == "absent"
    assert stored.info.start_time == kept.start.started_ms < kept.ended_ms


def test_who_is_interrupted_while_the_server_is_away_keeps_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, artifacts = f"http://{LOOPBACK}:{free_port()}", tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "plan.json").write_text("{}")
    recorder = Recorder(uri)

    def interrupt(_: str) -> None:
        assert send_waiting(tmp_path / "outbox") == [], "another process left it to this one"
        raise KeyboardInterrupt

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = PendingRun(tracking_uri=uri, run_id="0" * 32, status=FINISHED, ended_ms=now_ms())
    with pytest.raises(KeyboardInterrupt):
        deliver(ended, artifacts, recorder, tmp_path / "outbox", interrupt)
    ((kept, folder),) = waiting(tmp_path / "outbox")
    assert kept == ended
    assert (folder / "artifacts" / "plan.json").exists()


def test_parcel_that_cannot_be_read_holds_up_no_other_and_still_waits(
    tmp_path: Path, tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = tmp_path / "outbox"
    (outbox / "broken").mkdir(parents=True)
    (outbox / "broken" / "parcel.json").write_text("")
    (outbox / "whole").mkdir()
    run_id = Recorder(tracking_uri, "beside").open("run", {}, {})
    whole = PendingRun(tracking_uri=tracking_uri, run_id=run_id, status=FINISHED, ended_ms=now_ms())
    (outbox / "whole" / "parcel.json").write_text(whole.model_dump_json())
    told = CliRunner().invoke(app, ["send", "--work", str(tmp_path)])
    assert (told.exit_code, last_line(told.stdout)) == (1, "sent 1, still waiting 1")
    assert "broken/parcel.json cannot be read: Invalid JSON" in caplog.text
    assert [path.name for path in outbox.iterdir()] == ["broken"]


def test_run_is_opened_once_however_often_it_is_tried(tracking_uri: str) -> None:
    recorder = Recorder(tracking_uri, "once")
    start = recorder.run_start("run", {"seed": "0"}, {"backend": "majority"})
    assert recorder.start_run(start) == recorder.start_run(start)
    (only,) = recorder.runs({"backend": "majority"})
    assert only.data.params == {"seed": "0"}


@pytest.mark.slow
def test_error_of_the_server_is_waited_out_and_a_wrong_request_is_not(tracking_uri: str) -> None:
    """The server responds, but the database behind it does not."""
    tried: list[int] = []
    told: list[str] = []

    def call() -> str:
        tried.append(1)
        if len(tried) == 1:
            raise MlflowException("connection refused", error_code=TEMPORARILY_UNAVAILABLE)
        return "done"

    assert patiently(call, tracking_uri, told.append) == "done"
    assert len(told) == 1
    assert "answers with an error (connection refused): retrying for 120 s" in told[0]

    def wrong() -> str:
        tried.append(1)
        raise MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST)

    with pytest.raises(MlflowException, match="no such run"):
        patiently(wrong, tracking_uri)
    assert len(tried) == 3


def test_a_record_that_is_refused_is_kept_with_the_reason(
    tmp_path: Path, tracking_uri: str
) -> None:
    """The database responds but does not contain the run, so waiting is useless."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "plan.json").write_text("{}")
    lost = PendingRun(
        tracking_uri=tracking_uri,
        run_id="0" * 32,
        status=FINISHED,
        tags={"a": "b"},
        ended_ms=now_ms(),
    )
    outbox = tmp_path / "outbox"
    with pytest.raises(ExperimentError, match="everything is kept in"):
        deliver(lost, tmp_path / "artifacts", Recorder(tracking_uri), outbox)
    ((kept, folder),) = waiting(outbox)
    assert kept.model_copy(update={"database": ""}) == lost
    assert (folder / "artifacts" / "plan.json").exists()


def test_sending_twice_leaves_the_record_of_once(tmp_path: Path, tracking_uri: str) -> None:
    recorder = Recorder(tracking_uri, "twice")
    run_id = recorder.open("run", {}, {})
    one = PendingRun(
        tracking_uri=tracking_uri,
        run_id=run_id,
        status=FINISHED,
        metrics={"test.f1": 0.5},
        steps={"train.loss": {1: 0.7, 2: 0.6}},
        ended_ms=now_ms(),
    )
    for _ in range(2):
        assert deliver(one, tmp_path / "none", recorder, tmp_path / "outbox") == ""
    history = recorder.client.get_metric_history(run_id, "train.loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.7), (2, 0.6)]
    assert recorder.client.get_run(run_id).info.end_time == one.ended_ms


def unsent(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> tuple[str, Path]:
    """Return the id of a run pending in ``folder/work`` for ``folder/mlflow.db``, and the path."""
    here = tmp_path / folder
    here.mkdir()
    shutil.copy(store, here / "mlflow.db")
    monkeypatch.chdir(here)
    recorder = Recorder("sqlite:///mlflow.db", "waits")
    run_id = recorder.open("run", {}, {})
    with monkeypatch.context() as away:
        away.setattr(outbox, "send", refuse)
        with pytest.raises(ExperimentError, match="everything is kept in"):
            close_run(recorder, run_id, FINISHED, "", Path("work/outbox"), lambda _: None)
    return run_id, here


def refuse(*_: Any) -> None:
    raise MlflowException("disk full", error_code=RESOURCE_DOES_NOT_EXIST)


def status(folder: Path, run_id: str) -> str:
    return str(MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(run_id).info.status)


@pytest.mark.parametrize("version", ["0.1.0", "now"])
def test_record_goes_to_the_store_that_it_was_made_for(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """The record is sent from another working folder, which has its own store."""
    run_id, first = unsent(empty_store, tmp_path, monkeypatch, "first")
    _, second = unsent(empty_store, tmp_path, monkeypatch, "second")
    if version == "0.1.0":
        (content,) = (first / "work" / "outbox").glob("*/parcel.json")
        pending = json.loads(content.read_text()) | {"tracking_uri": "sqlite:///mlflow.db"}
        del pending["database"]
        content.write_text(json.dumps(pending))
    told = CliRunner().invoke(app, ["send", "--work", str(first / "work")])
    assert last_line(told.stdout) == "sent 1, still waiting 0"
    assert status(first, run_id) == FINISHED
    assert len(waiting(second / "work" / "outbox")) == 1


def test_record_moves_with_its_store_and_makes_no_new_one(
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_id, place = unsent(empty_store, tmp_path, monkeypatch, "place")
    store = (place / "mlflow.db").rename(tmp_path / "kept.db")
    told = CliRunner().invoke(app, ["send"])
    assert (told.exit_code, last_line(told.stdout)) == (1, "sent 0, still waiting 1")
    assert f"its database {place}/mlflow.db no longer exists" in caplog.text
    assert not (place / "mlflow.db").exists()
    store.rename(place / "mlflow.db")
    moved = place.rename(tmp_path / "moved")
    assert send_waiting(moved / "work" / "outbox") == [run_id]
    assert status(moved, run_id) == FINISHED
