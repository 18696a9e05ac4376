"""Test of whether two backends have the same F1 within a margin.

A test that shows no difference does not show equality: with few patients it shows nothing. The two
one-sided tests of D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the
power approach for assessing the equivalence of average bioavailability", Journal of
Pharmacokinetics and Biopharmaceutics 15, 1987, reject the hypothesis that the difference is as
large as the margin, in either direction.
"""

import math

import numpy as np

from experiments.scoring.uncertainty import Estimate, as_difference, estimate_difference

#: Difference of the log odds beyond which F1 no longer changes.
_FARTHEST = 200.0


def equivalence_p(
    one: np.ndarray, other: np.ndarray, margin: float, found: Estimate | None = None
) -> float:
    """Return the p value of two one-sided tests of equivalence.

    It is below 0.05 exactly if the 90 % interval of the difference lies within the margin. The
    tests are done on the log odds of F1, like those of `estimate_difference`.

    Parameters
    ----------
    one, other
        True positives and all errors by seed and patient, shape (seeds, 2, patients); the numbers
        of seeds may differ.
    margin
        Largest absolute difference of F1 that is regarded as irrelevant, between 0 and 1.
    found
        Result of `estimate_difference` for ``one`` and ``other``, if it is known.

    Returns
    -------
    float
        Larger of the two one-sided p values; NaN if nothing varies, because the error of the
        difference is then unknown.

    Raises
    ------
    ValueError
        If ``margin`` is not between 0 and 1.
    """
    from scipy.stats import t

    if not 0 < margin < 1:
        raise ValueError(f"the margin is a difference of F1 between 0 and 1, not {margin}")
    found = found or estimate_difference(one, other)
    error = math.sqrt(float(found.variance))
    if not error > 0:
        return float("nan")
    limit, value = _log_odds_of(one, other, margin), float(found.value)
    above = t.sf((value + limit) / error, found.freedom)
    below = t.cdf((value - limit) / error, found.freedom)
    return float(max(above, below))


def _log_odds_of(one: np.ndarray, other: np.ndarray, margin: float) -> float:
    """Return the difference of log odds that is a difference of F1 of ``margin``."""
    from scipy.optimize import brentq

    def excess(log_odds: float) -> float:
        return float(as_difference(one, other, np.array(log_odds))) - margin

    return float(brentq(excess, 0, _FARTHEST))
