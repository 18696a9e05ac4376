"""Conclusions of a scaling study, in sentences that account for the spread over seeds."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.scoring.uncertainty import LEVEL, Interval

#: Minimum seeds and seconds at every size for a conclusion: a single run does not show how much
#: runs vary, and first-use costs dominate short runs.
SEEDS, SECONDS = 3, 10.0
#: Share of the ideal gain of a step below which additional workers are considered not to help.
HELPS = 0.5
_LOCAL = "keras_local"


def about_workers(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each backend on the number of workers beyond which it gains little.

    Parameters
    ----------
    runs
        Columns ``backend``, ``workers`` and ``fit_s``, with one row per run.
    """
    found = []
    for name, own in runs.groupby("backend", sort=False):
        sizes = _by_size(own, "workers", "fit_s")
        if len(sizes) < 2:
            continue
        if missing := _missing(list(sizes.values()), "fits"):
            found.append(f"{name}: no conclusion about workers: {missing}.")
        else:
            found.append(f"{name}: {_workers_sentence(sizes)}")
    return found


def about_images(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each backend and size on its time relative to ``keras_local``.

    Parameters
    ----------
    runs
        Columns ``backend``, ``images`` and ``total_s``, with one row per run.
    """
    local = _by_size(runs[runs["backend"] == _LOCAL], "images", "total_s")
    found = []
    for name, own in runs.groupby("backend", sort=False):
        if name == _LOCAL:
            continue
        times = _by_size(own, "images", "total_s")
        for size in sorted(times.keys() & local.keys()):
            both = times[size], local[size]
            if missing := _missing(both, "runs"):
                found.append(f"{name}: no conclusion about {size:,} images: {missing}.")
                continue
            time = _ratio(*both)
            found.append(
                f"{name}: a run of {size:,} images {_verdict(time)} {_LOCAL} "
                f"({time.value:.2f} times, 95 % interval over seeds {time.low:.2f} to "
                f"{time.high:.2f})."
            )
    return found


def _by_size(runs: pd.DataFrame, size: str, figure: str) -> dict[int, np.ndarray]:
    return {int(value): rows[figure].to_numpy() for value, rows in runs.groupby(size)}


def _verdict(time: Interval) -> str:
    if time.high < 1:
        return "takes less time than"
    return "takes more time than" if time.low > 1 else "does not differ significantly in time from"


def _workers_sentence(sizes: dict[int, np.ndarray]) -> str:
    """Return a sentence on the first step with little gain, else on the last step."""
    steps = sorted(sizes)
    for fewer, more in itertools.pairwise(steps):
        ideal = more / fewer
        least = 1 + HELPS * (ideal - 1)
        gain = _ratio(sizes[fewer], sizes[more])
        figures = (
            f"from {fewer} to {more} workers fit is {gain.value:.2f} times as fast (95 % interval "
            f"over seeds {gain.low:.2f} to {gain.high:.2f}; {ideal:g} is ideal)"
        )
        if gain.high < least:
            return (
                f"adding workers stops helping at {fewer}: {figures}, less than half of the ideal "
                "gain."
            )
        if gain.low < least:
            return f"it is not shown whether adding workers to {fewer} helps: {figures}."
    return f"adding workers helps up to {steps[-1]}, the largest number tried: {figures}."


def _ratio(one: np.ndarray, other: np.ndarray) -> Interval:
    """Return the ratio of the geometric means of seconds, with its 95 % interval.

    The interval is that of Welch's t test on the logarithms: B. L. Welch, "The generalization of
    Student's problem when several different population variances are involved", Biometrika 34,
    1947.
    """
    from scipy.stats import ttest_ind

    tested = ttest_ind(np.log(one), np.log(other), equal_var=False)
    ends = tested.confidence_interval(1 - LEVEL)
    value = np.log(one).mean() - np.log(other).mean()
    return Interval(*(math.exp(end) for end in (value, ends.low, ends.high)))


def _missing(times: Sequence[np.ndarray], what: str) -> str:
    """Return what a conclusion from ``times`` lacks, or an empty string if it lacks nothing.

    Parameters
    ----------
    times
        Seconds of the runs at each size.
    what
        Noun for the timed part, for the sentence: ``fits`` or ``runs``.
    """
    seeds, seconds = min(map(len, times)), min(float(time.mean()) for time in times)
    if seeds >= SEEDS and seconds >= SECONDS:
        return ""
    return (
        f"this requires {SEEDS} seeds or more (--seed 0 --seed 1 --seed 2) and {what} of "
        f"{SECONDS:.0f} s or more; here {seeds} seed{'' if seeds == 1 else 's'} and {seconds:.1f} s"
    )
