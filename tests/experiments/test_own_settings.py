"""A search starts with the experiment's own settings and reports the gain over them."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from backends import create
from backends.search import Choices, Range, Values
from data.project import ROOT
from experiments.cli.tune import _command
from experiments.cli.tune_console import trial_line
from experiments.loading import load
from experiments.portable import portable
from experiments.tuning.own_settings import (
    enqueue_again,
    enqueue_own,
    gain,
    own_settings,
    space_of,
)
from experiments.tuning.space import suggest
from experiments.tuning.storage import Direction

SPACE: dict[str, Values] = {
    "optimizer.learning_rate": Range(1e-4, 1e-1, log=True),
    "batch_size": Choices((16, 64)),
    "model.augmentation": Choices((False, True)),
    "backend_options.elephas.mode": Choices(("synchronous", "hogwild")),
}
OWN = {
    "optimizer.learning_rate": 0.002,
    "model.augmentation": True,
    "backend_options.elephas.mode": "synchronous",
}
SETTINGS = {
    "optimizer.learning_rate": 0.002,
    "batch_size": 32,
    "model.augmentation": True,
    "backends": ["elephas"],
}


def study(direction: Direction = "maximize") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=0))


def tried(study: optuna.Study, *values: float | None) -> optuna.Study:
    for value in values:
        trial = study.ask()
        suggest(trial, space_of(trial, SPACE))
        state = None if value is not None else optuna.trial.TrialState.FAIL
        study.tell(trial, value, state)
    return study


def test_own_settings_are_those_that_the_space_holds() -> None:
    experiment = load("synthetic", SETTINGS)
    assert own_settings(experiment, create("elephas"), SPACE) == OWN
    narrow: dict[str, Values] = {
        "optimizer.learning_rate": Range(0.01, 0.1),
        "model.augmentation": Choices((0, 1)),
    }
    assert own_settings(experiment, create("elephas"), narrow) == {}


def test_first_trial_has_them_and_leaves_the_others_as_they_are() -> None:
    made = study()
    enqueue_own(made, OWN)
    enqueue_own(made, OWN)
    tried(made, 0.5, 0.6)
    first, second = made.trials
    assert first.params == OWN, "no batch size that the experiment does not have"
    assert second.params.keys() == SPACE.keys()
    assert "the experiment's own settings: optimizer.learning_rate 0.002" in trial_line(first, "f1")
    assert "own settings" not in trial_line(second, "f1")


def test_own_settings_that_were_cut_off_are_made_again() -> None:
    made = study()
    enqueue_own(made, OWN)
    cut_off = made.ask()
    suggest(cut_off, space_of(cut_off, SPACE))
    made.tell(cut_off, state=optuna.trial.TrialState.FAIL)
    enqueue_again(made, cut_off)
    tried(made, 0.5)
    assert made.trials[1].params == OWN
    assert gain(made, "f1").startswith("no trial is better than the experiment's own settings (tri")


@pytest.mark.parametrize(
    ("direction", "values", "words"),
    [
        (
            "maximize",
            (0.81, 0.8, 0.8321),
            "trial 2 is better than the experiment's own settings (trial 0): f1 0.8321 instead of "
            "0.8100 on the validation images, 0.0221 higher; part of this may be chance",
        ),
        ("minimize", (0.2, 0.15), "trial 1 is better than the experiment's own settings (trial 0)"),
        ("minimize", (0.2, 0.15), "f1 0.1500 instead of 0.2000 on the validation images, 0.0500 l"),
        (
            "maximize",
            (0.81, 0.8),
            "no trial is better than the experiment's own settings (trial 0)",
        ),
        ("maximize", (0.81, 0.81), "no trial is better than the experiment's own settings"),
        ("maximize", (None, 0.8), "the trial with the experiment's own settings has no result"),
    ],
)
def test_gain_is_said_with_its_size(direction: Direction, values: Any, words: str) -> None:
    made = study(direction)
    enqueue_own(made, OWN)
    assert words in gain(tried(made, *values), "f1")


def test_best_experiment_means_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {
        "data.source": "photographs",
        "data.split.manifest": "split.json",
        "tracking_uri": "sqlite:///mine.db",
        "prepared": "s3://bucket/prepared",
    }
    content = portable(load("malaria", values), "malaria-tuned")
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir("/")
    stored = load(tmp_path / "best.yaml")
    assert stored.name == "malaria-tuned"
    assert stored.data.source == str(tmp_path / "photographs")
    assert stored.data.split.manifest == str(tmp_path / "split.json")
    assert stored.tracking_uri == f"sqlite:///{tmp_path}/mine.db"
    assert stored.prepared == "s3://bucket/prepared"
    assert "source" not in portable(load("synthetic"), "x").get("data", {}), "cells are drawn"


def test_command_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = tmp_path / "my search" / "best.yaml"
    words = f"sparkdl-bench run --backend elephas --experiment '{best}'"
    monkeypatch.chdir(ROOT)
    assert _command("elephas", best, Path("work")) == f"uv run {words}"
    monkeypatch.chdir(tmp_path)
    assert _command("elephas", best, Path("work")) == f"uv run --project {ROOT} {words}"
    assert _command("elephas", best, tmp_path).endswith(f" --work {tmp_path}")
