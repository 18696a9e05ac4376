"""Sensitivity, specificity and ROC AUC of a backend over its seeds, with intervals."""

from collections.abc import Sequence

import numpy as np

from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import one_per_seed
from experiments.scoring.auc import auc_jackknife
from experiments.scoring.uncertainty import (
    Interval,
    mean_jackknife_interval,
    mean_share_interval,
)
from experiments.units import names_of_units

_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def mean_scores(runs: Sequence[ComparedRun]) -> dict[str, Interval]:
    """Return the scores of one backend, as means over seeds with 95 % intervals.

    The intervals account for variation among the units of the split and among seeds; see
    `experiments.scoring.uncertainty`.

    Parameters
    ----------
    runs
        Runs of one backend on the same test images.

    Returns
    -------
    dict
        Keys ``sensitivity``, ``specificity`` and ``roc_auc``. All values are NaN if the test set
        contains only one of the two classes.
    """
    seeds = one_per_seed(runs)
    tables = [_Table(run) for run in seeds]
    if not 0 < tables[0].truth.mean() < 1:
        return dict.fromkeys(("sensitivity", "specificity", "roc_auc"), _UNKNOWN)
    return {
        "sensitivity": _share([one.counts(positive=True) for one in tables]),
        "specificity": _share([one.counts(positive=False) for one in tables]),
        "roc_auc": _auc(tables),
    }


class _Table:
    """Predictions of one run, as arrays of shape (images,)."""

    def __init__(self, run: ComparedRun) -> None:
        frame, positive = run.predictions, run.class_names.index(run.positive_class)
        self.truth = frame["label"].to_numpy() == positive
        self.guess = run.decided == positive
        self.certainty = frame[f"probability_{run.positive_class}"].to_numpy()
        self.units = names_of_units(frame, run.unit).to_numpy()

    def counts(self, *, positive: bool) -> np.ndarray:
        """Return right and wrong images of one class, shape (2, units with the class)."""
        rows = self.truth == positive
        # Only the units with images of the class contribute to the share.
        _, codes = np.unique(self.units[rows], return_inverse=True)
        right = np.bincount(codes, weights=self.guess[rows] == positive)
        return np.stack([right, np.bincount(codes) - right])


def _share(counts: Sequence[np.ndarray]) -> Interval:
    hits, misses = np.moveaxis(np.stack(counts), 1, 0)
    return Interval(*mean_share_interval(hits, misses))


def _auc(tables: Sequence[_Table]) -> Interval:
    from sklearn.metrics import roc_auc_score

    value = float(np.mean([roc_auc_score(one.truth, one.certainty) for one in tables]))
    parts = [auc_jackknife(one.truth, one.certainty, one.units) for one in tables]
    if not all(np.isfinite(log_odds) for log_odds, _ in parts):
        return Interval(value, float("nan"), float("nan"))
    log_odds = np.array([one for one, _ in parts])
    low, high = mean_jackknife_interval(log_odds, np.stack([omitted for _, omitted in parts]))
    return Interval(value, min(low, value), max(high, value))
