"""Choice of the decision threshold from the predictions of the validation images."""

import numpy as np

from experiments.threshold_rule import Rule
from models.decision import MOST_PROBABLE


def choose(rule: Rule, truth: np.ndarray, certainty: np.ndarray) -> float | None:
    """Return the threshold that ``rule`` selects.

    The candidates lie midway between neighboring probabilities, so that rounding cannot change the
    decision on a validation image. Of several candidates with the same Youden index, the one
    closest to 0.5 is selected. If no candidate reaches a specificity, the largest one is selected.

    Parameters
    ----------
    rule
        Rule of selection.
    truth
        True for images of the positive class, shape (n,).
    certainty
        Probability of the positive class, shape (n,).

    Returns
    -------
    float or None
        None if the images do not determine a threshold: one of the two classes is missing, or all
        images have the same probability.
    """
    if rule.kind == "fixed":
        return rule.value
    values, places = np.unique(certainty, return_inverse=True)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives or len(values) < 2:
        return None
    # Numbers of positive and negative images at or above each value.
    found = np.bincount(places[truth], minlength=len(values))[::-1].cumsum()[::-1]
    false = np.bincount(places[~truth], minlength=len(values))[::-1].cumsum()[::-1]
    thresholds = _between(values)
    if rule.kind == "sensitivity":
        return float(thresholds[np.flatnonzero(found / positives >= rule.value)[-1]])
    if rule.kind == "specificity":
        reached = np.flatnonzero(1 - false / negatives >= rule.value)
        return float(thresholds[reached[0] if len(reached) else -1])
    # Integers, so that equal indices compare as equal.
    index = found * negatives - false * positives
    best = thresholds[index == index.max()]
    return float(best[np.abs(best - MOST_PROBABLE).argmin()])


def _between(values: np.ndarray) -> np.ndarray:
    """Return for each of the ascending ``values`` a threshold that it and no smaller one reaches.

    The result is never 0.5, which selects the most probable class (`models.decision.decide`).
    """
    below = np.concatenate([[0.0], values[:-1]])
    middle = (below + values) / 2
    middle = np.where(middle > below, middle, values)
    return np.where(middle == MOST_PROBABLE, np.nextafter(MOST_PROBABLE, 1), middle)
