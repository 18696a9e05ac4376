"""The terminal shows the right terms, the remaining time, and tables of 80 columns."""

import io
import time
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console as RichConsole

from backends.registry import known
from data.config import Unit
from data.prepared import PreparedData
from experiments.cli.console import Console, plan_line
from experiments.cli.result_table import result_table
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.records import FAILED, FINISHED, RunRecord
from experiments.runs.comparison_run import plans_in_order

METRICS = {
    "test.f1": 0.9,
    "test.f1_low": 0.85,
    "test.f1_high": 0.953,
    "test.weighted_f1": 0.8125,
    "test.roc_auc": 0.7,
    "test.patient.f1": 1.0,
    "time.spark_start_s": 12.3,
    "time.fit_s": 1234.5,
    "time.total_s": 1301.2,
    "resources.cpu_s": 12345.0,
    "resources.peak_memory_bytes": 5.3 * 2**30,
}
DISTRIBUTOR = "spark_tensorflow_distributor"


def record(backend: str = "majority", seed: int = 0, **values: Any) -> RunRecord:
    return RunRecord(
        **{
            "experiment": "cells", "backend": backend, "seed": seed, "run_id": str(seed),
            "tracking_uri": "sqlite:///x.db", "status": FINISHED, "metrics": METRICS, **values,
        }
    )  # fmt: skip


def printed(records: Sequence[RunRecord], **values: Any) -> list[str]:
    text = io.StringIO()
    RichConsole(file=text, width=80).print(result_table(records, synthetic=False, **values))
    return text.getvalue().splitlines()


def test_headline_stands_above_f1_for_a_few_runs() -> None:
    lines = [line for line in printed([record()], headline="weighted_f1") if "F1" in line]
    assert lines[0].split() == ["weighted", "F1", "0.812"]
    assert lines[1].split()[-2:] == ["0.900", "(0.850-0.953)"]
    assert not [line for line in printed([record()]) if "weighted" in line]


def test_headline_fits_a_terminal_for_many_runs() -> None:
    lines = printed([record(seed=seed) for seed in range(5)], headline="weighted_f1")
    heading = next(line for line in lines if "backend" in line)
    assert heading.index("weighted F1") < heading.index("F1 (95 %)")
    assert sum("0.812" in line and "0.900" in line for line in lines) == 5


@pytest.mark.parametrize(
    "backends", [known(), known()[2:5], [DISTRIBUTOR] * 3, [DISTRIBUTOR] * 2, [DISTRIBUTOR]]
)
@pytest.mark.parametrize("headline", ["f1", "weighted_f1"])
def test_every_table_fits_80_columns_with_whole_names_and_scores(
    backends: Sequence[str], headline: str
) -> None:
    lines = printed([record(name) for name in backends], headline=headline)
    assert max(map(len, lines)) <= 80
    text = "".join(lines)
    assert "…" not in text
    for name in backends:
        assert all(part in text for part in name.split("_"))
    assert text.count("0.900 (0.850-0.953)") == len(backends)


@pytest.mark.parametrize("unit", ["patient", "lesion", "image"])
def test_table_is_about_the_unit_of_the_split(unit: Unit) -> None:
    lines = [line.strip() for line in printed([record()], unit=unit, groups=5)]
    assert lines[0] == f"Unseen test {unit}s"
    assert " ".join(lines).endswith(f"Intervals are not reliable below 8 {unit}s.")
    rows = [line.split() for line in lines if line.startswith("F1 by")]
    assert rows == ([] if unit == "image" else [["F1", "by", unit, "1.000"]])


def test_challenge_is_ranked_by_weighted_f1_and_other_words_are_refused() -> None:
    assert load("c-nmc-challenge").headline == "weighted_f1"
    assert load("c-nmc").headline == "f1"
    with pytest.raises(ExperimentError, match=r"headline.*'weighted_f1'"):
        load("c-nmc-challenge", {"headline": "weighted"})


def shown(prepared: PreparedData, unit: Unit, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines about a data set whose split is by ``unit``."""
    console = Console()
    console.experiment_starts(load("synthetic", {"seeds": [0, 1]}), [])
    summary = prepared.summary.model_copy(update={"unit": unit})
    console.data_ready(PreparedData(prepared.uri, summary, prepared.manifest))
    console.event({"event": "phase", "name": "predict"})
    console.ends()
    lines = capsys.readouterr().out.splitlines()
    return [*(line for line in lines if "left out" not in line), console._activity.line()]


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("predict_validation", "predicting the validation patients"),
        ("save_model", "saving the network"),
    ],
)
def test_phases_after_training_have_words(phase: str, words: str) -> None:
    console = Console(silence=1e6)
    console.event({"event": "phase", "name": phase})
    assert words in console._activity.line()
    console.ends()


def test_threshold_that_was_chosen_is_shown_with_its_scores() -> None:
    scores = {"decision.threshold": 0.31, "test.sensitivity": 0.95, "test.specificity": 0.82}
    lines = printed([record(metrics={**METRICS, **scores})])
    rows = {line[:20].strip(): line[20:].strip() for line in lines}
    assert rows["decision threshold"] == "0.310"
    assert (rows["sensitivity"], rows["specificity"]) == ("0.950", "0.820")
    assert not any("threshold" in line for line in printed([record()]))


def test_data_is_counted_in_the_unit_of_the_split(
    prepared: PreparedData, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {split: prepared.rows(split) for split in ("train", "validation", "test")}
    groups = len(set(prepared.index("test").column("patient_id").to_pylist()))
    for unit in ("patient", "lesion"):
        lines = shown(prepared, unit, capsys)
        assert f", {counts['test']} test ({groups} {unit}s); 24 x 24 x 3" in lines[1]
        assert f"Fewer than 10 test images or 10 test {unit}s for '" in lines[2]
        assert lines[3] == (
            f"plan: 2 backends x 2 seeds = 4 runs, each 6 epochs of {counts['train']} training "
            "images"
        )
        assert lines[-1].startswith(f"predicting the test {unit}s")
    lines = shown(prepared, "image", capsys)
    assert f"data: {', '.join(f'{n} {split}' for split, n in counts.items())} images; " in lines[1]
    assert lines[2].startswith("plan: "), "36 images are enough"
    assert not [line for line in lines if "patient" in line.replace("cells, not patients", "")]


def test_plan_of_one_run_is_a_line() -> None:
    experiment = load("synthetic", {"backends": ["elephas"], "epochs": 1})
    assert plan_line(experiment, 8642) == "plan: 1 run, 1 epoch of 8,642 training images"


def test_runs_are_numbered_with_time_elapsed_and_an_estimate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    experiment = load("synthetic", {"backends": ["elephas", "bigdl"], "seeds": [0, 1]})
    console = Console(silence=1e6)
    console._pace._clock = lambda: clock[0]
    console.experiment_starts(experiment, [])
    plans = plans_in_order(experiment)
    kept = [record(plans[0].backend, plans[0].seed)]
    console.comparison_starts(plans, kept)
    console.warm_up_starts("bigdl", 1, 2)
    console.warm_up_starts("elephas", 2, 2)
    for plan in plans[1:]:
        console.run_starts(plan.backend, plan.seed, "averages weights", 100)
        clock[0] += 70
        console.run_ends(record(plan.backend, plan.seed, metrics={"time.fit_s": 60.0}))
    console.ends()
    lines = capsys.readouterr().out.splitlines()
    assert "warming up: bigdl (1 of 2)" in lines
    assert "warming up: elephas (2 of 2)" in lines
    runs = [line for line in lines if line.startswith("run ")]
    names = [f"{plan.backend}, seed {plan.seed}" for plan in plans[1:]]
    assert runs[0] == f"run 2 of 4: {names[0]}"
    assert runs[1].startswith(f"run 3 of 4: {names[1]}; 1 min 10 s elapsed, about 2 min remain")
    assert runs[2].startswith(f"run 4 of 4: {names[2]}; 2 min 20 s elapsed, about 1 min remains")


def test_note_on_the_data_is_said_once_and_one_on_the_run_each_time(
    prepared: PreparedData, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console()
    experiment = load("synthetic", {"seeds": [0, 1], "backends": ["majority"]})
    console.experiment_starts(experiment, [])
    console.data_ready(prepared)
    console.comparison_starts(plans_in_order(experiment), [])
    few = next(iter(note for note in console._of_data if note.startswith("Fewer than 10")))
    for seed in (0, 1):
        console.run_starts("majority", seed, "none", 100)
        console.run_ends(record(seed=seed, notes=[few, "It snows."]))
    console.ends()
    text = capsys.readouterr().out
    assert (text.count(few), text.count("  note: It snows.")) == (1, 2)


def test_silence_of_a_run_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(silence=0.02)
    console.experiment_starts(load("synthetic", {"backends": ["elephas"]}), [])
    console.run_starts("elephas", 0, "averages weights", 100)
    console.event({"event": "phase", "name": "fit"})
    console.event({"event": "batch", "number": 2, "images": 50, "loss": 0.5})
    text, deadline = "", time.monotonic() + 10
    while "loss" not in text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        text += capsys.readouterr().out
    console.ends()
    assert "  elephas: training, epoch 2/6, loss 0.5000, 0 s" in text


def test_failed_run_is_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.study_starts([("majority", 40), ("majority", 80)])
    for images in (40, 80):
        console.experiment_starts(load("synthetic", {"backends": ["majority"]}), [])
        console.run_starts("majority", 0, "none", images)
        console.run_ends(record(status=FAILED, reason="it broke", metrics={}))
    console.ends()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines if line.startswith("run ")] == ["run 1 of 2", "run 2 of 2"]
    assert lines.count("majority: FAILED: it broke") == 2
