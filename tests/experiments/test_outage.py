"""The MLflow server goes away in the middle of a run: the record is bridged or sent later."""

import os
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
from typer.testing import CliRunner

from backends.ports import LOOPBACK, free_port
from experiments import parcel
from experiments.__main__ import app
from experiments.errors import ExperimentError
from experiments.observer import Observer
from experiments.parcel import Parcel, deliver, waiting
from experiments.records import FINISHED
from experiments.tracking import Recorder, check_reachable, now_ms
from tests.experiments.conftest import Run

LIMIT = 90
ARTIFACTS = {"predictions.parquet", "plan.json", "split.json", "confusion_matrix.png"}


class Server:
    """An MLflow server that can be ended and started again."""

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
        """End the server and the processes that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:  # it waits for connections that nobody closes
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
    """Ends the server when training begins, and starts it again after ``seconds``."""

    def __init__(self, server: Server, seconds: float | None) -> None:
        self.server, self.seconds = server, seconds
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


@pytest.mark.slow
def test_server_that_comes_back_gets_the_record(server: Server, run: Run) -> None:
    observer = Ending(server, seconds=3)
    (record,) = run("majority", name="bridged", tracking_uri=server.uri, observer=observer)
    assert record.status == FINISHED
    assert [line for line in observer.told if "does not answer: trying for 120 s" in line]
    assert_complete(server, record.run_id)


@pytest.mark.slow
def test_server_that_stays_away_gets_the_record_later(
    server: Server, run: Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "PATIENCE", 1)
    observer = Ending(server, seconds=None)
    (record,) = run("majority", name="later", tracking_uri=server.uri, observer=observer)
    assert record.status == FINISHED
    assert any("is sent with the next run" in note for note in record.notes)
    ((kept, _),) = waiting(work / "outbox")
    assert kept.run_id == record.run_id
    arguments = ["send", "--work", str(work)]
    away = CliRunner().invoke(app, arguments)
    assert (away.exit_code, last_line(away.stdout)) == (1, "sent 0, still waiting 1")
    server.start()
    server.wait()
    back = CliRunner().invoke(app, arguments)
    assert (back.exit_code, last_line(back.stdout)) == (0, "sent 1, still waiting 0")
    assert_complete(server, record.run_id)
    assert waiting(work / "outbox") == []


def test_a_record_that_is_refused_is_kept_with_the_reason(
    tmp_path: Path, tracking_uri: str
) -> None:
    """The database answers and knows no such run: waiting for it would help nobody."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "plan.json").write_text("{}")
    lost = Parcel(
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
    assert kept == lost
    assert (folder / "artifacts" / "plan.json").exists()


def test_sending_twice_leaves_the_record_of_once(tmp_path: Path, tracking_uri: str) -> None:
    recorder = Recorder(tracking_uri, "twice")
    run_id = recorder.open("run", {}, {})
    one = Parcel(
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
