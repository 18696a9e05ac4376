"""F1 of backends on the same test images, and differences between backends."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.comparison.difference import Difference
from experiments.comparison.runs import ComparedRun
from experiments.scoring.equivalence import equivalence_p
from experiments.scoring.metrics import patient_counts
from experiments.scoring.uncertainty import (
    LEVEL,
    POWER,
    Estimate,
    Interval,
    as_difference,
    difference_interval,
    estimate_difference,
    mean_interval,
)
from experiments.units import names_of_units


def f1_over_units(runs: Sequence[ComparedRun]) -> Interval:
    """Return the mean F1 over seeds, with its interval over patients and seeds.

    If the split is by lesion or by image, the interval is over lesions or images instead of
    patients. With one seed, only patients are treated as random.

    Parameters
    ----------
    runs
        Runs of one backend on the same test images.
    """
    return Interval(*map(float, mean_interval(counts_of(runs))))


def differences(
    groups: Mapping[str, Sequence[ComparedRun]], baseline: str, margin: float | None = None
) -> dict[str, Difference]:
    """Return the difference of each group from ``baseline``, over all seeds of both.

    Parameters
    ----------
    groups
        Runs by label of their row.
    baseline
        Label with which the others are compared.
    margin
        Largest difference of F1 that is regarded as irrelevant; None does not test equivalence.
    """
    from statsmodels.stats.multitest import multipletests

    counts = {name: counts_of(runs) for name, runs in groups.items()}
    other = counts.pop(baseline)
    if not counts:
        return {}
    seeds = {name: {run.record.seed for run in runs} for name, runs in groups.items()}
    estimates = {name: estimate_difference(one, other) for name, one in counts.items()}
    p_values = [float(found.p()) for found in estimates.values()]
    corrected = multipletests(p_values, method="holm")[1]
    equal = _equivalence(counts, other, estimates, margin)
    found = {}
    for (name, one), p, p_corrected in zip(counts.items(), p_values, corrected, strict=True):
        identical = seeds[name] == seeds[baseline] and np.array_equal(one, other)
        interval = Interval(*map(float, difference_interval(one, other)))
        reach = estimates[name].reach(LEVEL / len(counts), POWER)
        found[name] = Difference(
            interval=Interval(0.0, 0.0, 0.0) if identical else interval,
            p=p,
            p_corrected=float(p_corrected),
            # It is unknown if nothing varies, as between equal predictions.
            detectable=float(as_difference(one, other, reach)) or float("nan"),
            groups=other.shape[-1],
            seeds=(len(one), len(other)),
            comparisons=len(counts),
            identical=identical,
            unit=groups[baseline][0].unit,
            margin=margin,
            p_equivalence=equal[name],
        )
    return found


def _equivalence(
    counts: Mapping[str, np.ndarray],
    other: np.ndarray,
    estimates: Mapping[str, Estimate],
    margin: float | None,
) -> dict[str, float]:
    """Return the p values of equivalence by label, corrected by Holm's method."""
    from statsmodels.stats.multitest import multipletests

    found = dict.fromkeys(counts, float("nan"))
    if margin is None:
        return found
    p_values = {
        name: equivalence_p(one, other, margin, estimates[name]) for name, one in counts.items()
    }
    known = [name for name, p in p_values.items() if np.isfinite(p)]
    if known:
        # A comparison in which nothing varies is counted as one that shows nothing.
        filled = [p if np.isfinite(p) else 1.0 for p in p_values.values()]
        corrected = dict(zip(p_values, multipletests(filled, method="holm")[1], strict=True))
        found.update({name: float(corrected[name]) for name in known})
    return found


def counts_of(runs: Sequence[ComparedRun]) -> np.ndarray:
    """Return true positives and errors by patient, lesion or image, shape (seeds, 2, patients).

    Of several runs with the same seed only the newest is counted, because repetitions of a seed are
    not independent.
    """
    return np.stack([_of_run(run) for run in one_per_seed(runs)])


def one_per_seed(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return the newest run of each seed, by seed."""
    newest = {run.record.seed: run for run in sorted(runs, key=lambda run: run.started_ms)}
    return [run for _, run in sorted(newest.items())]


def _of_run(run: ComparedRun) -> np.ndarray:
    frame = run.predictions
    return patient_counts(
        frame["label"].to_numpy(),
        run.decided,
        names_of_units(frame, run.unit).to_numpy(),
        run.class_names.index(run.positive_class),
    )
