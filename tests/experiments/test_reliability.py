"""Calibration figures and the intervals of sensitivity, specificity and ROC AUC."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from experiments.scoring.auc import auc_interval
from experiments.scoring.metrics import score
from experiments.scoring.reliability import reliability
from experiments.scoring.uncertainty import jackknife_interval, share_interval

CLASSES = ("benign", "malignant")


def predictions(patients: int, images: int, seed: int = 0) -> pd.DataFrame:
    """Return predictions in which a patient's images share a difficulty and a class."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(patients) % 2, images)
    logits = 2.0 * labels - 1 + np.repeat(generator.normal(0, 1, patients), images)
    chances = 1 / (1 + np.exp(-logits - generator.normal(0, 0.5, len(labels))))
    return pd.DataFrame(
        {
            "image_id": np.arange(len(labels)).astype(str),
            "patient_id": np.repeat([f"p{one}" for one in range(patients)], images),
            "label": labels,
            "probability_benign": 1 - chances,
            "probability_malignant": chances,
        }
    )


def test_components_add_up_to_the_brier_score_of_discrete_probabilities() -> None:
    generator = np.random.default_rng(0)
    certainty = generator.choice([0.1, 0.3, 0.6, 0.9], 1000)
    truth = generator.random(1000) < certainty**1.5
    bins = reliability(truth, certainty)
    assert bins.predicted == pytest.approx([0.1, 0.3, 0.6, 0.9])
    parts = bins.brier_components()
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert total == pytest.approx(brier_score_loss(truth, certainty))


def test_bins_have_nearly_equal_numbers_and_keep_equal_probabilities_together() -> None:
    certainty = np.random.default_rng(1).random(1003)
    bins = reliability(certainty > 0.5, certainty)
    assert len(bins.images) == 10
    assert (bins.images.sum(), np.ptp(bins.images) <= 1) == (1003, True)
    assert (np.diff(bins.predicted) > 0).all()
    same = reliability(np.arange(300) % 3 == 0, np.full(300, 0.4))
    assert (same.images.tolist(), same.observed.tolist()) == ([300], [pytest.approx(1 / 3)])
    assert len(reliability(np.array([True, False]), np.array([0.2, 0.7])).images) == 1


def test_record_has_the_components_and_intervals_around_the_values() -> None:
    values = score(predictions(20, 15), CLASSES, "malignant").values
    for name in ("sensitivity", "specificity", "roc_auc"):
        assert values[f"{name}_low"] < values[name] < values[f"{name}_high"]
    parts = [values[f"brier_{one}"] for one in ("reliability", "resolution", "uncertainty")]
    assert parts[0] - parts[1] + parts[2] == pytest.approx(values["brier"], abs=0.01)


def test_threshold_moves_decisions_and_not_the_ranking() -> None:
    table = predictions(20, 15)
    usual, low = (score(table, CLASSES, "malignant", threshold=one).values for one in (0.5, 0.2))
    assert low["sensitivity"] > usual["sensitivity"]
    assert low["specificity"] < usual["specificity"]
    assert low["patient.sensitivity"] >= usual["patient.sensitivity"]
    for name in ("roc_auc", "average_precision", "brier", "brier_reliability"):
        assert low[name] == usual[name]


@pytest.mark.parametrize("patients", [8, 26])
def test_interval_of_a_share_covers_the_truth(patients: int) -> None:
    generator = np.random.default_rng(patients)
    rates = 1 / (1 + np.exp(-generator.normal(1.5, 1, 200_000)))
    images = generator.integers(20, 140, len(rates))
    hits = generator.binomial(images, rates)
    truth = hits.sum() / images.sum()
    held, tries = 0, 400
    for _ in range(tries):
        chosen = generator.choice(len(rates), patients, replace=False)
        low, high = share_interval(hits[chosen], (images - hits)[chosen])
        held += low <= truth <= high
    assert held / tries >= 0.92


def test_nothing_found_or_nothing_missed_leaves_room() -> None:
    """Five patients do not prove that a share is 0 or 1."""
    images, none = np.full(5, 30.0), np.zeros(5)
    limit = 0.025 ** (1 / 5)
    assert share_interval(images, none) == pytest.approx((limit, 1))
    assert share_interval(none, images) == pytest.approx((0, 1 - limit))
    assert np.isnan(share_interval(images[:1], none[:1])).all()


def test_interval_of_auc_is_that_of_the_jackknife() -> None:
    """Pairs without each patient are counted one by one, with ties and patients of both classes."""
    generator = np.random.default_rng(2)
    truth, patients = generator.random(200) < 0.4, generator.integers(0, 12, 200)
    certainty = np.round(0.3 * truth + generator.random(200), 1)

    def log_odds(rows: np.ndarray) -> float:
        pairs = truth[rows].sum() * (~truth[rows]).sum()
        right = roc_auc_score(truth[rows], certainty[rows]) * pairs
        return float(np.log(right + 0.5) - np.log(pairs - right + 0.5))

    omitted = np.array([log_odds(patients != one) for one in range(12)])
    expected = jackknife_interval(log_odds(patients >= 0), omitted)
    assert auc_interval(truth, certainty, patients) == pytest.approx(expected)


def test_auc_without_discordant_pairs_has_no_interval() -> None:
    truth = np.array([True, False] * 10)
    assert np.isnan(auc_interval(truth, truth * 0.5, np.arange(20) // 4)).all()
    assert np.isnan(auc_interval(truth, np.arange(20.0), np.zeros(20))).all()
