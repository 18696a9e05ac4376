"""Whatever a backend does, its run is closed with a reason and no process remains."""

import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from sklearn.metrics import f1_score, roc_auc_score

from data.config import DataConfig, ImageConfig
from experiments.errors import ExperimentError
from experiments.records import FAILED, FINISHED, KILLED
from tests.experiments.conftest import Run

ROOT = Path(__file__).parents[2]
MISBEHAVING = "tests.experiments.misbehaving"
#: Variable inherited by every process that a run starts, anywhere in the process tree.
MARK = "SPARKDL_TEST_MARK"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, uuid.uuid4().hex)


@pytest.mark.slow
def test_failure_is_recorded_in_the_frameworks_own_words(run: Run, tracking_uri: str) -> None:
    (record,) = run(f"{MISBEHAVING}:Raising")
    assert (record.status, record.reason) == (FAILED, "RuntimeError: the framework's own words")
    stored = MlflowClient(tracking_uri).get_run(record.run_id)
    assert stored.info.status == FAILED
    assert stored.data.tags["status_reason"] == record.reason
    assert "misbehaving.py" in record.traceback


@pytest.mark.slow
def test_vanished_worker_is_a_failure_with_its_last_words(run: Run) -> None:
    (record,) = run(f"{MISBEHAVING}:Exiting")
    assert record.status == FAILED
    assert "last words" in record.reason


def test_executors_larger_than_the_machine_are_refused_before_anything_starts(run: Run) -> None:
    with pytest.raises(ExperimentError) as refused:
        run("tests.experiments.misbehaving:Burning", spark={"executor_memory": "900g"})
    assert "2 executors of 900.0 GiB are more than this machine's" in str(refused.value)
    assert "smaller --batch-size" in str(refused.value)


@pytest.mark.slow
def test_refusal_is_a_result_and_the_next_backend_runs(run: Run) -> None:
    refused, majority = run(f"{MISBEHAVING}:Refusing", "majority")
    assert (refused.refused, refused.reason) == (True, "refused: it is Saturday")
    assert majority.status == FINISHED


@pytest.mark.slow
def test_backend_that_cannot_answer_refuses_and_the_comparison_continues(run: Run) -> None:
    names = [f"{MISBEHAVING}:Unanswering", f"{MISBEHAVING}:Untranslating", "majority"]
    unanswering, untranslating, majority = run(*names)
    check = "refused: its support could not be checked"
    assert unanswering.reason == f"{check} (ValueError: no such layer)"
    assert untranslating.reason == f"{check} (OSError: the weights cannot be downloaded)"
    assert [one.refused for one in (unanswering, untranslating)] == [True, True]
    assert majority.status == FINISHED


@pytest.mark.slow
def test_predictions_that_are_no_numbers_fail_the_run(run: Run) -> None:
    (record,) = run(f"{MISBEHAVING}:Diverging")
    assert record.status == FAILED
    assert "diverged" in record.reason


@pytest.mark.process_tree
@pytest.mark.slow
def test_time_limit_ends_a_hanging_run_with_all_its_children(run: Run) -> None:
    run("majority")  # so that the data are prepared and the limit applies to training
    (record,) = run(f"{MISBEHAVING}:Sleeping", time_limit=15)
    assert record.status == FAILED
    assert "time limit of 15 s" in record.reason
    assert not left_alive()


@pytest.mark.slow
def test_time_limit_of_the_preparation_is_told(run: Run, data_config: DataConfig) -> None:
    other = data_config.model_copy(update={"image": ImageConfig(height=12, width=12)})
    with pytest.raises(ExperimentError, match=r"preparing the data did not end .* 0.5 s"):
        run("majority", data=other.model_dump(mode="json"), time_limit=0.5)
    assert not left_alive()


def interrupt(process: subprocess.Popen, terminal: int) -> None:
    process.send_signal(signal.SIGINT)
    told = b""
    with suppress(OSError):  # the other end of the terminal is closed
        while more := os.read(terminal, 1024):
            told += more
    assert b"interrupted: sleeping, seed 0: recorded as KILLED" in (told.replace(b"\r\n", b""))
    assert told.rfind(SHOW_CURSOR) > told.rfind(HIDE_CURSOR)


def close_terminal(_: subprocess.Popen, terminal: int) -> None:
    """Close the terminal: the kernel sends SIGHUP, and further writes fail."""
    os.close(terminal)


@pytest.mark.process_tree
@pytest.mark.slow
@pytest.mark.parametrize(("end", "number"), [(interrupt, "SIGINT"), (close_terminal, "SIGHUP")])
def test_interrupt_closes_the_run_as_killed_and_leaves_no_process(
    end: Callable[[subprocess.Popen, int], None],
    number: str,
    data_config: DataConfig,
    work: Path,
    tracking_uri: str,
    run: Run,
    tmp_path: Path,
) -> None:
    run("majority")  # so that the data are prepared and training is interrupted
    command = ["setsid", "--ctty", sys.executable, "run_experiment.py"]
    command += ["--backend", f"{MISBEHAVING}:Sleeping", "--set", f"name={number}"]
    command += ["--tracking-uri", tracking_uri, "--work", str(work)]
    command += ["--set", f"data={data_config.model_dump_json()}"]
    terminal, its_end = pty.openpty()
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        env={**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(its_end)
    told = b""
    while b", seed 0" not in told:  # the run's record is open, its worker process starts
        told += os.read(terminal, 1024)
    time.sleep(4)
    end(child, terminal)
    child.wait(60)
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name(number)
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])[0]
    assert newest.info.status == KILLED
    assert newest.data.tags["status_reason"] == "interrupted by the user"
    assert child.returncode in (130, 128 + signal.Signals[number])
    assert not left_alive()
    assert not list(tmp_path.glob("sparkdl-*"))


@pytest.mark.spark
@pytest.mark.slow
def test_record_of_a_spark_run_is_complete_and_repeats_from_its_predictions(
    run: Run, tracking_uri: str, tmp_path: Path
) -> None:
    (record,) = run("elephas", epochs=2)
    assert record.status == FINISHED, record.reason
    assert not left_alive()
    client = MlflowClient(tracking_uri)
    stored = client.get_run(record.run_id)
    named = {
        "test.f1", "test.f1_low", "test.f1_high", "test.weighted_f1", "test.macro_f1",
        "test.accuracy", "test.balanced_accuracy", "test.roc_auc", "test.average_precision",
        "test.sensitivity", "test.specificity", "test.mcc", "test.brier", "test.patient.f1",
        "train.loss", "validation.loss", "train.samples_seen", "train.steps",
        "train.images_per_s", "time.spark_start_s", "time.load_s", "time.fit_s",
        "time.predict_s", "time.total_s", "resources.cpu_s", "resources.peak_memory_bytes",
        "resources.read_bytes", "resources.write_bytes", "time.predict_validation_s",
        "time.save_model_s", "decision.threshold", "validation.f1", "validation.sensitivity",
        "test.sensitivity_low", "test.specificity_high", "test.roc_auc_low",
        "test.brier_reliability", "test.brier_resolution", "test.brier_uncertainty",
    }  # fmt: skip
    assert named <= set(stored.data.metrics)
    tags = {
        "backend", "synchronisation", "status_reason", "data.fingerprint", "split.checksum",
        "initial_weights.checksum", "code.commit", "versions.elephas", "synthetic",
    }  # fmt: skip
    assert tags <= set(stored.data.tags)
    assert stored.data.params["model.name"] == "small_cnn"
    assert len(client.get_metric_history(record.run_id, "train.loss")) == 2
    folder = Path(client.download_artifacts(record.run_id, "", str(tmp_path)))
    files = {path.name for path in folder.iterdir()}
    assert files >= {
        "plan.json", "predictions.parquet", "split.json", "confusion_matrix.png",
        "learning_curve.png", "reliability.png", "model", "model_card.md", "worker.log",
    }  # fmt: skip
    predictions = pd.read_parquet(folder / "predictions.parquet")
    truth = predictions["label"] == 0  # 'all' is the first class
    guess = predictions["probability_all"] > predictions["probability_hem"]
    assert stored.data.metrics["test.f1"] == pytest.approx(f1_score(truth, guess))
    auc = roc_auc_score(truth, predictions["probability_all"])
    assert stored.data.metrics["test.roc_auc"] == pytest.approx(auc)


def left_alive() -> list[str]:
    """Return the commands of processes that the test started and that are still running."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [command for process in psutil.process_iter() if (command := marked(process))]
        if not left:
            return []
        time.sleep(0.2)
    return left


def marked(process: psutil.Process) -> str | None:
    """Return the command of a running process that inherited this test's environment."""
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return None
        inherited = process.environ().get(MARK) == os.environ[MARK]
        return " ".join(process.cmdline()) if inherited else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
