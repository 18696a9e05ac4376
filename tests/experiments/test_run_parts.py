"""The parts of a single run by themselves: outcome, training and closing."""

import json
from pathlib import Path
from typing import Any

import pytest

from backends import create
from data.prepared import PreparedData
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.records import FINISHED
from experiments.resources.executors import ExecutorUse
from experiments.runs.closing import closing_tags, gather, pending_run, result_of
from experiments.runs.outcome import Outcome
from experiments.runs.task import Result
from experiments.runs.training import Training

EPOCHS: list[dict[str, Any]] = [
    {"number": 1, "loss": 0.7, "validation_loss": 0.6, "images": 10, "seconds": 2.0},
    {"number": 2, "loss": 0.5, "validation_loss": None, "images": 10, "seconds": 1.0},
]
USE = ExecutorUse(executors=2, cpu_s=3.0, peak_memory_bytes=100, read_bytes=5, write_bytes=7)


def plan(**values: Any) -> RunPlan:
    experiment = Experiment(name="test", positive_class="all", **values)
    return RunPlan(experiment=experiment, backend="elephas", seed=3)


def training(prepared: PreparedData, outcome: Outcome, **values: Any) -> Training:
    return Training(plan(**values), create("elephas"), prepared, Observer(), outcome)


def test_outcome_is_a_failure_until_a_run_has_finished() -> None:
    outcome = Outcome()
    assert (outcome.status, outcome.refused) == ("FAILED", False)
    outcome.refuse("too large")
    assert (outcome.status, outcome.reason, outcome.refused) == (
        "FAILED",
        "refused: too large",
        True,
    )


def test_missing_answer_is_explained_by_the_last_line_of_the_log(
    prepared: PreparedData, tmp_path: Path
) -> None:
    found = training(prepared, Outcome())._read(tmp_path)
    assert found.reason == "the worker process ended without a result: it wrote nothing"
    (tmp_path / "worker.log").write_text("first\nlast words\n")
    assert training(prepared, Outcome())._read(tmp_path).reason.endswith(": last words")
    known = training(prepared, Outcome(reason="did not end in time"))._read(tmp_path)
    assert (known.status, known.reason) == ("failed", "did not end in time")


def test_answer_of_the_worker_process_is_read(prepared: PreparedData, tmp_path: Path) -> None:
    answer = Result(status="finished", samples_seen=20, epochs=EPOCHS)
    (tmp_path / "result.json").write_text(answer.model_dump_json())
    assert training(prepared, Outcome())._read(tmp_path) == answer


def test_resources_of_executors_elsewhere_are_added(prepared: PreparedData) -> None:
    names = [name for name in USE.model_dump() if name != "executors"]
    outcome = Outcome(metrics={f"resources.{name}": 1.0 for name in names})
    training(prepared, outcome, spark={"master": "spark://host:7077"})._add_executors(USE)
    for name in names:
        assert outcome.metrics[f"resources.executors_{name}"] == getattr(USE, name)
        assert outcome.metrics[f"resources.{name}"] == 1 + getattr(USE, name)
    assert outcome.notes == []
    unknown = Outcome()
    training(prepared, unknown, spark={"master": "spark://host:7077"})._add_executors(None)
    assert "those of the driver alone" in unknown.notes[0]
    here = Outcome()
    training(prepared, here)._add_executors(USE)
    assert here.metrics == {}


def test_epochs_that_were_reported_stand_for_a_missing_answer() -> None:
    outcome = Outcome(epochs=EPOCHS, notes=["one", "two"])
    assert result_of(outcome).epochs == EPOCHS
    assert closing_tags(outcome) == {"initial_weights.checksum": "none", "notes": "one\ntwo"}
    outcome.result = Result(status="finished", initial_weights_checksum="abc")
    assert result_of(outcome) is outcome.result
    assert closing_tags(outcome)["initial_weights.checksum"] == "abc"


def test_pending_run_has_losses_by_epoch_and_no_model_without_one(
    prepared: PreparedData, tmp_path: Path
) -> None:
    outcome = Outcome(status=FINISHED, metrics={"test.f1": 0.5}, epochs=EPOCHS)
    pending = pending_run(
        plan(), prepared, outcome, tmp_path, uri="sqlite:///mlflow.db", run_id="abc", start=None
    )
    assert pending.steps == {
        "train.loss": {1: 0.7, 2: 0.5},
        "validation.loss": {1: 0.6},
        "train.epoch_s": {1: 2.0, 2: 1.0},
    }
    assert (pending.run_id, pending.model_name) == ("abc", None)
    assert pending.tracking_uri == f"sqlite:///{Path.cwd()}/mlflow.db"
    assert pending.class_names == prepared.class_names


@pytest.mark.parametrize("traceback", ["", "Traceback: why"])
def test_files_of_a_run_become_artifacts(
    prepared: PreparedData, tmp_path: Path, traceback: str
) -> None:
    folder, artifacts = tmp_path / "run", tmp_path / "artifacts"
    folder.mkdir()
    artifacts.mkdir()
    (folder / "worker.log").write_text("a line")
    (folder / "secret").write_text("not kept")
    outcome = Outcome(result=Result(status="failed", traceback=traceback))
    gather(plan(), prepared, outcome, folder, artifacts)
    kept = {path.name for path in artifacts.iterdir()}
    assert {"plan.json", "split.json", "worker.log"} <= kept
    assert ("traceback.txt" in kept) == bool(traceback)
    assert "secret" not in kept
    assert json.loads((artifacts / "plan.json").read_text())["seed"] == 3
