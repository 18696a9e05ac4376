"""Interval of the area under the ROC curve over patients."""

import numpy as np

from experiments.scoring.uncertainty import jackknife_interval

#: Added to the numbers of concordant and discordant pairs to keep the log odds finite.
_HALF = 0.5


def auc_interval(
    truth: np.ndarray, certainty: np.ndarray, patients: np.ndarray
) -> tuple[float, float]:
    """Return the 95 % interval of ROC AUC over patients.

    ROC AUC is the share of pairs of a positive and a negative image in which the positive one has
    the higher probability; equal probabilities count half. Its log odds are treated like those of
    F1 (`experiments.scoring.uncertainty`), with a jackknife over patients. The number of pairs
    without a patient follows from the ranks: N. A. Obuchowski, "Nonparametric analysis of clustered
    ROC curve data", Biometrics 53, 1997.

    Parameters
    ----------
    truth
        True for images of the positive class, shape (n,).
    certainty
        Probability of the positive class, shape (n,).
    patients
        Patient of each image, shape (n,).

    Returns
    -------
    tuple of float
        Lower and upper end; NaN if a class is missing, all pairs are ordered alike or there is only
        one patient.
    """
    value, omitted = auc_jackknife(truth, certainty, patients)
    if not np.isfinite(value):
        return float("nan"), float("nan")
    return jackknife_interval(value, omitted)


def auc_jackknife(
    truth: np.ndarray, certainty: np.ndarray, patients: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the log odds of ROC AUC, and those without each patient in turn, shape (patients,).

    Arguments as in `auc_interval`. The log odds are NaN if a class is missing or all pairs are
    ordered alike.
    """
    _, codes = np.unique(patients, return_inverse=True)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    right = _right_pairs(truth, certainty)
    total, pairs = right[truth].sum(), positives * negatives
    if not 0 < total < pairs:
        return float("nan"), np.full(codes.max(initial=-1) + 1, np.nan)
    own_right = np.bincount(codes, weights=right)
    own_positives = np.bincount(codes, weights=truth)
    own_negatives = np.bincount(codes, weights=~truth)
    own_pairs = own_positives * negatives + own_negatives * positives
    # Pairs within a patient were counted from both sides.
    own_pairs -= own_positives * own_negatives
    for patient in np.flatnonzero(own_positives * own_negatives):
        rows = codes == patient
        own_right[patient] -= _right_pairs(truth[rows], certainty[rows])[truth[rows]].sum()
    return float(_log_odds(total, pairs)), _log_odds(total - own_right, pairs - own_pairs)


def _right_pairs(truth: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    """Return for each image the number of its pairs that are ordered rightly, shape (n,)."""
    positive, negative = np.sort(certainty[truth]), np.sort(certainty[~truth])
    below = np.searchsorted(negative, certainty, "left") + np.searchsorted(
        negative, certainty, "right"
    )
    above = 2 * len(positive) - (
        np.searchsorted(positive, certainty, "left") + np.searchsorted(positive, certainty, "right")
    )
    return np.where(truth, below, above) / 2


def _log_odds(right: np.ndarray | float, pairs: np.ndarray | float) -> np.ndarray:
    return np.log(right + _HALF) - np.log(np.asarray(pairs) - right + _HALF)
