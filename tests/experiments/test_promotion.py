"""The alias of the best network: chosen on validation images, set on its registered version."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from experiments import comparison
from experiments.__main__ import app
from experiments.comparison.findings import Row
from experiments.comparison.promotion import choose
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import f1_over_units
from experiments.errors import ExperimentError
from tests.experiments.conftest import Run
from tests.experiments.made_up import made_up


@dataclass
class Registry:
    """Client with one version of a model for each run."""

    unregistered: set[str] = field(default_factory=set)

    def search_model_versions(self, condition: str) -> list[Any]:
        run = condition.split("'")[1]
        return [] if run in self.unregistered else [SimpleNamespace(name="model", version=run)]


def row(label: str, scores: list[tuple[float | None, float]], client: Registry) -> Row:
    """Return the runs of a backend with their F1 on validation and on test images."""
    labels = np.arange(40) % 2
    runs = []
    for seed, (validation, test) in enumerate(scores):
        metrics = {"test.f1": test} | ({} if validation is None else {"validation.f1": validation})
        run = made_up(labels, labels, labels * 0.8 + 0.1, seed, metrics=metrics)
        record = run.record.model_copy(update={"run_id": f"{label}-{seed}"})
        runs.append(replace(run, record=record, client=client))
        runs[-1].__dict__["predictions"] = run.predictions
    return Row(label, tuple(runs), f1_over_units(runs), None, ())


def test_best_mean_on_validation_images_is_chosen_and_never_that_on_test_images() -> None:
    client = Registry()
    rows = [
        row("one", [(0.80, 0.99), (0.95, 0.99)], client),
        row("other", [(0.90, 0.10), (0.88, 0.30)], client),
        row("floor", [(None, 1.0)], client),
    ]
    found = choose(rows)
    assert (found.label, found.candidate.version) == ("other", "other-0")
    sentence = found.sentence("patients")
    assert sentence == (
        "model@best is now version other-0 (other, seed 0): of 2 backends, other has the highest "
        "F1 on the validation patients (0.890, mean over 2 seeds); of its seeds, 0 has the highest "
        "F1 on the validation patients (0.900). The test patients were not used for this choice."
    )


def test_equal_scores_are_decided_by_name_and_seed() -> None:
    client = Registry()
    rows = [row("b", [(0.9, 0.9)], client), row("a", [(0.9, 0.1), (0.9, 0.5)], client)]
    assert choose(rows).candidate.version == "a-0"


def test_run_without_a_registered_network_is_no_candidate() -> None:
    client = Registry({"one-0", "other-0"})
    rows = [row("one", [(0.99, 0.9)], client), row("other", [(0.9, 0.9), (0.5, 0.9)], client)]
    assert choose(rows).candidate.version == "other-1"
    with pytest.raises(ExperimentError, match="no network can be promoted"):
        choose(rows[:1])


@pytest.mark.slow
def test_alias_is_set_only_if_it_is_requested(run: Run, tracking_uri: str, tmp_path: Path) -> None:
    run("keras_local", "majority", name="promoted", threshold="youden")
    client = MlflowClient(tracking_uri)
    command = ["compare", "--experiment", "promoted", "--tracking-uri", tracking_uri]
    first = ["--output", str(tmp_path / "first")]
    assert CliRunner().invoke(app, [*command, *first]).exit_code == 0
    again = CliRunner().invoke(app, [*command, *first])
    assert again.exit_code == 2
    assert "contains a comparison already" in again.stderr
    assert client.get_registered_model("promoted-keras_local").aliases == {}
    second = ["--output", str(tmp_path / "second")]
    told = CliRunner().invoke(app, [*command, *second, "--promote", "--margin", "0.02"])
    assert told.exit_code == 0, told.output
    assert (
        "promoted: promoted-keras_local@best is now version 1 (keras_local, seed 0)" in told.output
    )
    (version,) = client.search_model_versions("name = 'promoted-keras_local'")
    found = client.get_model_version_by_alias("promoted-keras_local", "best")
    assert found.run_id == version.run_id

    # The comparison decides at the recorded thresholds, as the run's own score does.
    runs: list[ComparedRun] = comparison.find_runs([tracking_uri], tmp_path, ["promoted"])
    trained = next(one for one in runs if one.record.backend == "keras_local")
    threshold = trained.record.metrics["decision.threshold"]
    assert threshold != 0.5
    sick = (trained.predictions["probability_all"] >= threshold).to_numpy()
    assert (trained.decided == 0).tolist() == sick.tolist()
    findings = comparison.compare(runs)
    (compared,) = [one for one in findings.rows if one.label == "keras_local"]
    assert compared.f1.value == pytest.approx(trained.record.metrics["test.f1"])
    page = (tmp_path / "second" / "report.html").read_text()
    assert "chosen on the validation images by the rule youden" in page
    usual = replace(trained, params={**trained.params, "threshold": "0.5"})
    reasons = [one.reason for one in comparison.compare([*runs, usual]).excluded]
    assert reasons == ["not comparable: threshold 0.5 instead of youden"]
