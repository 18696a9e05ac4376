"""Intervals and tests of F1 that treat both patients and seeds as random.

If a split is by lesion or by image, lesions or images take the place of patients.

F1 is 2 h / (2 h + w), where h is the number of true positives and w the number of all errors,
summed over patients; its log odds are log(2 h / w). All computations are done on the log odds,
where a seed that reduces the errors of all patients by the same factor is a shift. Results are
transformed back to F1.

The variance has two components:

- *patients*: the jackknife, which omits one patient at a time with the images of every run;
  R. G. Miller, "The jackknife: a review", Biometrika 61, 1974;
- *seeds*: the variance between the seeds of a backend, estimated for each backend separately.

The effect of a seed on single patients is part of both components and is subtracted once:
A. C. Cameron, J. B. Gelbach and D. L. Miller, "Robust inference with multiway clustering", Journal
of Business and Economic Statistics 29, 2011. The sum is referred to Student's t. Its degrees of
freedom are those of F. E. Satterthwaite, "An approximate distribution of estimates of variance
components", Biometrics Bulletin 2, 1946; with three seeds they are about 2 to 4 if the variance
between seeds dominates.

The method was chosen by simulation from percentile, BCa and studentized bootstraps and variants of
this method: ``sparkdl-bench benchmark --part statistics`` repeats the check.
"""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
#: Significance level: differences with smaller p values are considered shown.
LEVEL = 1 - CONFIDENCE
#: Probability with which the smallest detectable difference is detected.
POWER = 0.8
#: Minimum number of test patients; with fewer, the simulated coverage of intervals is too low.
RELIABLE_PATIENTS = 8
#: Added to both sums of the odds to keep the log odds finite: J. B. S. Haldane, "The estimation and
#: significance of the logarithm of a ratio of frequencies", Annals of Human Genetics 20, 1956.
_HALF = 0.5


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; the ends are NaN if there is no interval."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """True if there is an interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def excludes_zero(self) -> bool:
        """True if the whole interval lies on one side of zero."""
        return self.known and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        if not self.known:
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True)
class Estimate:
    """Estimate of the log odds of F1, or of a difference of two; all arrays have the same shape."""

    value: np.ndarray
    #: Variance of ``value``.
    variance: np.ndarray
    #: Degrees of freedom of ``variance``.
    freedom: np.ndarray

    def reach(self, level: float = LEVEL, power: float = 0.5) -> np.ndarray:
        """Return half the width of the interval with confidence 1 - ``level``.

        If ``power`` is given, return the smallest true value that a test at ``level`` detects with
        this probability: H. S. Bloom, "Minimum detectable effects", Evaluation Review 19, 1995.
        """
        from scipy.stats import t

        quantiles = t.ppf(1 - level / 2, self.freedom) + t.ppf(power, self.freedom)
        unknown = (self.variance == 0) & (self.value != 0)
        return np.where(unknown, np.nan, quantiles * np.sqrt(self.variance))

    def p(self) -> np.ndarray:
        """Return two-sided p values of the hypothesis that the value is 0; 1 if nothing varies."""
        from scipy.stats import t

        error = np.sqrt(self.variance)
        statistic = np.divide(
            np.abs(self.value), error, out=np.zeros_like(error), where=self.variance > 0
        )
        return np.where(self.variance > 0, 2 * t.sf(statistic, self.freedom), 1.0)


@dataclass(frozen=True)
class _Runs:
    """Mean log odds of the runs of one backend, and the components of its variance."""

    #: Number of seeds.
    seeds: int
    #: Mean log odds over seeds, shape (...).
    value: np.ndarray
    #: Centered change of ``value`` when a patient is omitted, shape (..., patients).
    moves: np.ndarray
    #: Variance of ``value`` between seeds, shape (...).
    between: np.ndarray
    #: Part of ``between`` that is due to single patients, shape (...).
    shared: np.ndarray


def f1_of(counts: np.ndarray) -> np.ndarray:
    """Return F1 over the images of all patients.

    Parameters
    ----------
    counts
        True positives and all errors by patient, shape (..., 2, patients).

    Returns
    -------
    ndarray of shape (...)
        F1; 0 if there are neither positives nor errors.
    """
    hits, wrong = np.moveaxis(counts.sum(axis=-1), -1, 0)
    total = 2 * hits + wrong
    return np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0)


def estimate(counts: np.ndarray) -> Estimate:
    """Return the mean log odds of F1 over seeds.

    Parameters
    ----------
    counts
        Counts as in ``f1_of`` for each seed, shape (..., seeds, 2, patients). With one seed, the
        estimate applies to that trained network, and only patients are treated as random.
    """
    runs = _runs(counts)
    return _estimate(runs.value, runs.moves, [runs])


def estimate_difference(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Return the log odds of F1 of one backend minus those of another, over the same patients.

    Seeds are treated as random only if both backends have at least two. Otherwise the estimate
    applies to these trained networks. The seeds of two backends are not paired: equal initial
    weights do not imply correlated results, and with three seeds pairing finds too many false
    differences.

    Parameters
    ----------
    one, other
        Counts as in ``estimate``; the numbers of seeds may differ.
    """
    first, second = _runs(one), _runs(other)
    return _estimate(first.value - second.value, first.moves - second.moves, [first, second])


def mean_interval(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean F1 over seeds and the ends of its interval.

    The variance of runs without any error cannot be estimated. Their lower end is the exact lower
    limit of the share of patients without errors, given n of n: C. J. Clopper and E. S. Pearson,
    "The use of confidence or fiducial limits", Biometrika 26, 1934. If there are neither positives
    nor errors, there is no interval.

    Parameters
    ----------
    counts
        Counts as in ``estimate``.

    Returns
    -------
    value, low, high
        Mean F1 and the ends of its interval, each of shape (...).
    """
    value = f1_of(counts).mean(axis=-1)
    found = estimate(counts)
    reach, patients = found.reach(), counts.shape[-1]
    low, high = _odds_to_f1(found.value - reach), _odds_to_f1(found.value + reach)
    faultless = (counts[..., 1, :].sum(axis=(-1, -2)) == 0) & (patients > 1)
    # Without errors, equal numbers of images per patient have no variance at all.
    low = np.where(faultless, (LEVEL / 2) ** (1 / patients), low)
    high = np.where(faultless, 1.0, high)
    empty = faultless & (value == 0)
    low, high = (np.where(empty, np.nan, end) for end in (low, high))
    return value, np.minimum(low, value), np.maximum(high, value)


def share_interval(hits: np.ndarray, misses: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share, such as the sensitivity, over patients.

    The share h / (h + w) has the log odds log(h / w), and its interval is computed like that of F1.
    A share of 0 or 1 has the exact limit of `mean_interval` at its other end.

    Parameters
    ----------
    hits, misses
        Numbers of images that count and that do not, by patient, shape (patients,). Every patient
        has at least one image.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN if there are fewer than two patients.
    """
    _, low, high = mean_share_interval(hits[None], misses[None])
    return low, high


def mean_share_interval(hits: np.ndarray, misses: np.ndarray) -> tuple[float, float, float]:
    """Return the mean share over seeds and the ends of its interval over patients and seeds.

    Parameters
    ----------
    hits, misses
        Counts as in `share_interval` for each seed, shape (seeds, patients).

    Returns
    -------
    tuple of float
        Mean share, lower and upper end; the ends are NaN if there are fewer than two patients.
    """
    patients = hits.shape[-1]
    # F1 is 2 h / (2 h + w); half of the hits make it the share.
    value, low, high = map(float, mean_interval(np.stack([hits / 2, misses], axis=-2)))
    if patients > 1 and value == 0:
        return value, 0.0, 1 - (LEVEL / 2) ** (1 / patients)
    return value, low, high


def mean_jackknife_interval(values: np.ndarray, omitted: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a mean share over seeds, from its log odds.

    The components of the variance are those of F1 (see this module).

    Parameters
    ----------
    values
        Log odds of the share for each seed, shape (seeds,).
    omitted
        Log odds without each patient in turn, shape (seeds, patients).

    Returns
    -------
    tuple of float
        Lower and upper end of the share; NaN if there are fewer than two patients or nothing
        varies.
    """
    runs = _runs_of(values, omitted)
    found = _estimate(runs.value, runs.moves, [runs])
    if not float(found.variance) > 0:
        return float("nan"), float("nan")
    reach = found.reach()
    return float(_odds_to_f1(found.value - reach)), float(_odds_to_f1(found.value + reach))


def jackknife_interval(value: float, omitted: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share, from its log odds.

    Parameters
    ----------
    value
        Log odds of the share.
    omitted
        Log odds without each patient in turn, shape (patients,).

    Returns
    -------
    tuple of float
        Lower and upper end of the share; NaN if there are fewer than two patients or nothing
        varies.
    """
    if len(omitted) < 2:
        return float("nan"), float("nan")
    moves = omitted - omitted.mean()
    reach = Estimate(np.array(value), _jackknife(moves), _patients_freedom(moves)).reach()
    return float(_odds_to_f1(value - reach)), float(_odds_to_f1(value + reach))


def difference_interval(
    one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the difference of mean F1 and the ends of its interval.

    The interval excludes zero exactly if the p value of ``estimate_difference`` is below ``LEVEL``.
    Arguments as in ``estimate_difference``.
    """
    value = f1_of(one).mean(axis=-1) - f1_of(other).mean(axis=-1)
    found = estimate_difference(one, other)
    low, high = (
        as_difference(one, other, found.value + side * found.reach()) for side in (-1.0, 1.0)
    )
    return value, np.minimum(low, value), np.maximum(high, value)


def as_difference(one: np.ndarray, other: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Convert a difference of log odds between two backends to a difference of F1."""
    middle = (_runs(one).value + _runs(other).value) / 2
    return _odds_to_f1(middle + log_odds / 2) - _odds_to_f1(middle - log_odds / 2)


def _runs(counts: np.ndarray) -> _Runs:
    doubled, wrong = 2 * counts[..., 0, :], counts[..., 1, :]
    sums = doubled.sum(axis=-1), wrong.sum(axis=-1)
    values = np.log(sums[0] + _HALF) - np.log(sums[1] + _HALF)
    omitted = np.log(sums[0][..., None] - doubled + _HALF)
    omitted -= np.log(sums[1][..., None] - wrong + _HALF)
    return _runs_of(values, omitted)


def _runs_of(values: np.ndarray, omitted: np.ndarray) -> _Runs:
    """Return the mean over seeds of log odds, from those without each patient in turn.

    The shapes are (..., seeds) and (..., seeds, patients).
    """
    moves = omitted - omitted.mean(axis=-1, keepdims=True)
    seeds = values.shape[-1]
    mean = moves.mean(axis=-2)
    if seeds == 1:
        nothing = np.zeros(values.shape[:-1])
        return _Runs(1, values.mean(axis=-1), mean, nothing, nothing)
    own = moves - mean[..., None, :]
    return _Runs(
        seeds,
        values.mean(axis=-1),
        mean,
        values.var(axis=-1, ddof=1) / seeds,
        _jackknife(own).sum(axis=-1) / (seeds - 1) / seeds,
    )


def _jackknife(moves: np.ndarray) -> np.ndarray:
    patients = moves.shape[-1]
    return (patients - 1) / patients * (moves**2).sum(axis=-1)


def _estimate(value: np.ndarray, moves: np.ndarray, backends: list[_Runs]) -> Estimate:
    if moves.shape[-1] < 2:
        return Estimate(value, np.full_like(value, np.nan), np.ones_like(value))
    patients, freedom = _jackknife(moves), _patients_freedom(moves)
    if any(runs.seeds == 1 for runs in backends):
        return Estimate(value, patients, freedom)
    seeds = np.sum([runs.between for runs in backends], axis=0)
    once = patients + seeds - np.sum([runs.shared for runs in backends], axis=0)
    variance = np.maximum(once, np.maximum(patients, seeds))
    spread = patients**2 / freedom
    spread += np.sum([runs.between**2 / (runs.seeds - 1) for runs in backends], axis=0)
    squared = (patients + seeds) ** 2
    return Estimate(
        value, variance, np.divide(squared, spread, out=np.ones_like(spread), where=spread > 0)
    )


def _patients_freedom(moves: np.ndarray) -> np.ndarray:
    """Return the degrees of freedom of the jackknife's variance, at least 1.

    The variance is dominated by a few patients with most of the cells or errors; the kurtosis
    measures how few: W. Pan and M. M. Wall, "Small-sample adjustments in using the sandwich
    variance estimator in generalized estimating equations", Statistics in Medicine 21, 2002. Here 1
    is not subtracted from the kurtosis as it is there, and one degree of freedom is subtracted,
    because the kurtosis is underestimated in small samples: with both changes, the simulated
    coverage is at least 93 % from 8 patients on.
    """
    patients = moves.shape[-1]
    squares, fourths = (moves**2).sum(axis=-1), (moves**4).sum(axis=-1)
    kurtosis = np.divide(
        patients * fourths, squares**2, out=np.full(squares.shape, np.inf), where=squares > 0
    )
    return np.clip(2 * (patients - 1) / kurtosis - 1, 1, patients - 1)


def _odds_to_f1(log_odds: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(log_odds)
