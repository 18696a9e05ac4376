"""Sensitivity, specificity and ROC AUC over seeds, with intervals over patients and seeds."""

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from experiments.comparison.scores import mean_scores
from experiments.scoring.auc import auc_interval
from experiments.scoring.uncertainty import share_interval
from tests.experiments.made_up import groups_of_skill, made_up, made_up_groups


def test_scores_are_means_of_those_of_scikit_learn() -> None:
    runs = made_up_groups()["one"]
    found = mean_scores(runs)
    frames = [run.predictions for run in runs]
    truth = [frame["label"] == 1 for frame in frames]
    guess = [frame["probability_sick"] > 0.5 for frame in frames]
    pairs = list(zip(truth, guess, strict=True))
    expected = {
        "sensitivity": np.mean([recall_score(*pair) for pair in pairs]),
        "specificity": np.mean([recall_score(*pair, pos_label=0) for pair in pairs]),
        "roc_auc": np.mean(
            [roc_auc_score(t, f["probability_sick"]) for t, f in zip(truth, frames, strict=True)]
        ),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value)
        assert 0.7 < found[name].low < value < found[name].high < 0.95


def test_one_seed_has_the_intervals_of_a_single_run() -> None:
    (run, *_) = made_up_groups()["one"]
    found, frame = mean_scores([run]), run.predictions
    sick = frame[frame["label"] == 1]
    right = (sick["probability_sick"] > 0.5).groupby(sick["patient_id"]).sum().to_numpy()
    low, high = share_interval(right, 20 - right)
    assert (found["sensitivity"].low, found["sensitivity"].high) == pytest.approx((low, high))
    ends = auc_interval(
        (frame["label"] == 1).to_numpy(),
        frame["probability_sick"].to_numpy(),
        frame["patient_id"].to_numpy(),
    )
    assert (found["roc_auc"].low, found["roc_auc"].high) == pytest.approx(ends)


def test_seeds_that_differ_widen_the_intervals() -> None:
    generator = np.random.default_rng(6)
    skill = {"steady": [0.85, 0.85, 0.85], "unsteady": [0.75, 0.85, 0.95]}
    found = {name: mean_scores(runs) for name, runs in groups_of_skill(skill, generator).items()}
    for name in ("sensitivity", "roc_auc"):
        steady, unsteady = (found[group][name] for group in ("steady", "unsteady"))
        assert unsteady.high - unsteady.low > 2 * (steady.high - steady.low)


def test_one_class_has_no_scores() -> None:
    labels = np.ones(8, int)
    found = mean_scores([made_up(np.arange(8).astype(str), labels, labels * 0.8, 0)])
    assert all(np.isnan(one.value) and not one.known for one in found.values())
