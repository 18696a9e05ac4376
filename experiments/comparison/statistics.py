"""Means over seeds, intervals over patients, differences to a baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.comparison.runs import ComparedRun
from experiments.metrics import (
    BOOTSTRAP_SEED,
    CONFIDENCE,
    RESAMPLES,
    f1_of_patients,
    patient_counts,
)

LEVEL = 1 - CONFIDENCE
Statistic = Callable[[np.ndarray], np.ndarray]
#: Permutations for the test of a difference; fewer patients than 13 are permuted exactly.
PERMUTATIONS = 4999


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """F1 of one backend less F1 of the baseline, over the same patients and seeds."""

    interval: Interval
    #: Of a permutation test: how often chance alone gives a difference at least as large.
    p: float
    #: The same with all comparisons of the table taken into account, after S. Holm, 1979.
    p_corrected: float
    patients: int

    @property
    def shown(self) -> bool:
        """Whether the data show a difference."""
        return self.p_corrected < LEVEL

    def sentence(self, name: str, baseline: str) -> str:
        """Return the finding in words."""
        value, low, high = self.interval.value, self.interval.low, self.interval.high
        figures = (
            f"{value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, "
            f"p = {self.p_corrected:.2g} after Holm"
        )
        if not self.shown:
            return (
                f"{name}: no difference to {baseline} shown at these {self.patients} patients "
                f"({figures})."
            )
        better = "higher" if value > 0 else "lower"
        return f"{name}: F1 {better} than that of {baseline} ({figures}; {self.patients} patients)."


def f1_over_patients(runs: Sequence[ComparedRun]) -> Interval:
    """Return the mean F1 over seeds, with its interval by resampling patients.

    The runs have the same test images. A resample draws patients with all their images, the same
    for every seed: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13.
    """
    counts = _counts(runs)
    return _bootstrapped(counts.shape[-1], lambda index: _mean_f1(counts, index))


def differences(
    groups: Mapping[str, Sequence[ComparedRun]], baseline: str
) -> dict[str, Difference]:
    """Return the difference of each group to ``baseline``, over the seeds that both have.

    The p value is of a test that exchanges the two backends within patients: R. A. Fisher, "The
    Design of Experiments", 1935. Groups that share no seed with the baseline are left out.
    """
    from statsmodels.stats.multitest import multipletests

    found: dict[str, tuple[Interval, float, int]] = {}
    for name, runs in groups.items():
        if name == baseline:
            continue
        shared = {run.record.seed for run in runs} & {r.record.seed for r in groups[baseline]}
        if not shared:
            continue
        one = _counts([run for run in runs if run.record.seed in shared])
        other = _counts([run for run in groups[baseline] if run.record.seed in shared])
        found[name] = _difference(one, other)
    if not found:
        return {}
    corrected = multipletests([p for _, p, _ in found.values()], method="holm")[1]
    return {
        name: Difference(interval, p, float(p_corrected), patients)
        for (name, (interval, p, patients)), p_corrected in zip(
            found.items(), corrected, strict=True
        )
    }


def _difference(one: np.ndarray, other: np.ndarray) -> tuple[Interval, float, int]:
    from scipy.stats import permutation_test

    patients = one.shape[-1]
    interval = _bootstrapped(patients, lambda index: _mean_f1(one, index) - _mean_f1(other, index))
    # Patient i of one backend is column i, of the other column i + patients: exchanging the two
    # backends within a patient is exchanging two numbers.
    both = np.concatenate([one, other], axis=-1)

    def statistic(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # permutation_test puts it last
        return _mean_f1(both, x.astype(int)) - _mean_f1(both, y.astype(int))

    tested = permutation_test(
        (np.arange(patients), patients + np.arange(patients)),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    return interval, float(tested.pvalue), patients


def _bootstrapped(patients: int, statistic: Statistic) -> Interval:
    from scipy.stats import bootstrap

    indices = np.arange(patients)
    value = float(statistic(indices))
    if patients < 2:
        return Interval(value, float("nan"), float("nan"))

    def of_resamples(index: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # bootstrap puts it last
        return statistic(index)

    low, high = bootstrap(
        (indices,),
        of_resamples,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return Interval(value, float(low), float(high))


def _counts(runs: Sequence[ComparedRun]) -> np.ndarray:
    """Return right positives and all errors by patient, shape (runs, 2, patients)."""
    return np.stack([_counts_of(run) for run in sorted(runs, key=lambda run: run.record.seed)])


def _counts_of(run: ComparedRun) -> np.ndarray:
    frame, names = run.predictions, run.class_names
    probabilities = frame[[f"probability_{name}" for name in names]].to_numpy()
    hits, wrong = patient_counts(
        frame["label"].to_numpy(),
        probabilities.argmax(axis=1),
        frame["patient_id"].to_numpy(),
        names.index(run.positive_class),
    )
    return np.stack([hits, wrong])


def _mean_f1(counts: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the mean over runs of F1 of the patients ``index``, shape (..., patients)."""
    return np.mean([f1_of_patients(hits, wrong, index) for hits, wrong in counts], axis=0)
