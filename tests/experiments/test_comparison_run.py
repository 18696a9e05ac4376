"""Several runs below one parent run, and resumption after an interruption."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from backends import create
from data.config import DataConfig
from data.prepared import PreparedData
from experiments.loading import load
from experiments.records import FINISHED, KILLED, RunRecord
from experiments.runs.comparison_run import (
    _ADDED,
    _NOT_DECIDING,
    KEY,
    ComparisonRun,
    comparison_key,
    plans_in_order,
    record_best,
)
from experiments.runs.launch import Launch
from experiments.runs.rehearsal import rehearse
from experiments.tracking.recorder import PARENT, Recorder
from tests.experiments.conftest import Run

BACKENDS = ("majority", "tests.experiments.misbehaving:Refusing")
NAMES = ("majority", "refusing")


def above(record: RunRecord) -> str:
    tags = MlflowClient(record.tracking_uri).get_run(record.run_id).data.tags
    return str(tags[PARENT])


def below(tracking_uri: str, run_id: str) -> list[str]:
    client = MlflowClient(tracking_uri)
    found = client.search_runs(
        [client.get_run(run_id).info.experiment_id], f"tags.`{PARENT}` = '{run_id}'"
    )
    return sorted(run.info.run_name for run in found)


@pytest.mark.slow
def test_runs_stand_below_one_run_and_a_refusal_is_one_of_them(run: Run, tracking_uri: str) -> None:
    records = run(*BACKENDS, name="below", seeds=[0, 1])
    (parent,) = {above(record) for record in records}
    stored = MlflowClient(tracking_uri).get_run(parent)
    assert stored.info.status == FINISHED
    assert len(below(tracking_uri, parent)) == 4
    kept = {item.path for item in MlflowClient(tracking_uri).list_artifacts(parent, "report")}
    assert {"report/report.html", "report/table.md", "report/runs.csv"} <= kept
    assert [(r.backend, r.seed) for r in records] == [(b, s) for s in (0, 1) for b in NAMES]


def test_parent_run_has_the_metrics_of_its_best_run(tracking_uri: str) -> None:
    recorder = Recorder(tracking_uri, "best of three")
    parent = recorder.open("comparison", {}, {})
    records = [
        RunRecord(
            experiment="best of three",
            backend=backend,
            seed=0,
            run_id=backend,
            tracking_uri=tracking_uri,
            status=FINISHED,
            metrics={"validation.f1": validation, "test.f1": test, "test.mcc": 0.1},
            tags={"initial_weights.checksum": weights},
        )
        for backend, validation, test, weights in (
            ("elephas", 0.8, 0.7, "abc"),
            ("keras_local", 0.7, 0.9, "abc"),  # test images select no model
            ("majority", 0.9, 0.9, "none"),
        )
    ]
    comparison = ComparisonRun(recorder, parent, {}, resumed=False)
    record_best(comparison, records[2:])
    assert not MlflowClient(tracking_uri).get_run(parent).data.metrics
    record_best(comparison, records)
    stored = MlflowClient(tracking_uri).get_run(parent).data
    assert stored.metrics == {"validation.f1": 0.8, "test.f1": 0.7}
    assert (stored.tags["best.backend"], stored.tags["best.run_id"]) == ("elephas", "elephas")


@pytest.mark.slow
def test_one_run_has_none_above_it(run: Run, tracking_uri: str) -> None:
    (record,) = run("majority", name="alone")
    assert PARENT not in MlflowClient(tracking_uri).get_run(record.run_id).data.tags


def test_order_is_drawn_from_each_seed_and_leaves_nothing_out() -> None:
    backends = ["majority", "keras_local", "elephas", "bigdl", "pandas_udf"]
    experiment = load("synthetic", {"backends": backends, "seeds": list(range(8))})
    order = [(plan.seed, plan.backend) for plan in plans_in_order(experiment)]
    assert sorted(order) == sorted((seed, name) for seed in range(8) for name in backends)
    assert [seed for seed, _ in order] == sorted(seed for seed, _ in order)
    assert len({tuple(b for s, b in order if s == seed) for seed in range(8)}) > 4
    assert order == [(plan.seed, plan.backend) for plan in plans_in_order(experiment)]


@pytest.mark.slow
def test_resumed_comparison_repeats_nothing_that_is_finished(run: Run, tracking_uri: str) -> None:
    first = run(*BACKENDS, name="resumed", seeds=[0])
    recorder = Recorder(tracking_uri, "resumed")
    left = recorder.open("majority-seed1", {"seed": "1"}, {"backend": "majority"}, above(first[0]))
    second = run(*BACKENDS, name="resumed", seeds=[0, 1], resume=True)
    assert {record.run_id for record in first} < {record.run_id for record in second}
    assert {above(record) for record in second} == {above(first[0])}
    stored = MlflowClient(tracking_uri).get_run(left)
    assert (stored.info.status, len(second)) == (KILLED, 4)
    assert stored.data.tags["status_reason"] == "its process ended without closing the record"


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"epochs": 2}, {"optimizer.learning_rate": 0.5}])
def test_other_settings_are_another_comparison(
    run: Run, tracking_uri: str, changed: dict[str, object]
) -> None:
    first = run(*BACKENDS, name="changed")
    second = run(*BACKENDS, name="changed", resume=True, **changed)
    keys = [MlflowClient(tracking_uri).get_run(above(r[0])).data.tags[KEY] for r in (first, second)]
    assert keys[0] != keys[1]
    assert above(first[0]) != above(second[0])


@pytest.mark.slow
def test_warm_up_starts_every_backend_and_trains_nothing(
    data_config: DataConfig, prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    launch = Launch.run

    def counted(self: Launch, **values: Any) -> None:
        started.append((self.plan.backend, values))
        launch(self, **values)

    monkeypatch.setattr(Launch, "run", counted)
    raising = "tests.experiments.misbehaving:Raising"  # in fit
    overrides = {"data": data_config.model_dump(mode="json"), "backends": [raising, *BACKENDS]}
    experiment = load("synthetic", {**overrides, "name": "warm-up", "seeds": [0, 1]})
    backends = {name: create(name) for name in experiment.backends}
    told = []
    rehearse(plans_in_order(experiment), backends, prepared, lambda *said: told.append(said))
    assert sorted(started) == [("majority", {"rehearsal": True}), ("raising", {"rehearsal": True})]
    assert told == [(name, place, 2) for place, (name, _) in enumerate(started, 1)]


@pytest.mark.slow
def test_interrupt_closes_the_run_above_too(run: Run, tracking_uri: str, tmp_path: Path) -> None:
    from experiments.observer import Observer

    class Interrupting(Observer):
        def run_ends(self, record: RunRecord) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(*BACKENDS, name="stopped", observer=Interrupting())
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name("stopped")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], f"tags.`{KEY}` != ''")
    assert parent.info.status == KILLED


def test_network_of_caffe_is_identified_by_its_content(
    prepared: PreparedData, tmp_path: Path
) -> None:
    """And a comparison without one has the digest that it had before there were any."""
    plain = load("synthetic", {})
    content = plain.model_dump(mode="json", exclude=_NOT_DECIDING | set(_ADDED))
    del content["data"]["source"], content["model"]["prototxt"], content["model"]["weights"]
    content["optimizer"] = {"name": "adam", "learning_rate": plain.optimizer.learning_rate}
    content["fingerprint"] = prepared.summary.fingerprint
    content["split"] = prepared.summary.split_checksum
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert comparison_key(plain, prepared) == digest

    def key(path: Path, text: str) -> str:
        path.write_text(text)
        values = {"model.name": "caffe", "model.prototxt": str(path)}
        return comparison_key(load("synthetic", values), prepared)

    first = key(tmp_path / "one.prototxt", "layer {}")
    assert key(tmp_path / "moved.prototxt", "layer {}") == first != digest
    assert key(tmp_path / "one.prototxt", "layer { }") != first
