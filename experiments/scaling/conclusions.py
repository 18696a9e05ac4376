"""Conclusions of a scaling study, in sentences that count the spread over seeds."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.scoring.uncertainty import LEVEL, Interval

#: Seeds and seconds at every size below which nothing is concluded: one run does not show how much
#: runs vary, and in a short one first-use costs decide.
SEEDS, SECONDS = 3, 10.0
#: Part of the ideal gain of a step below which more workers count as no help.
HELPS = 0.5
_LOCAL = "keras_local"


def about_workers(runs: pd.DataFrame) -> list[str]:
    """Return from which number of workers on each backend gains little.

    Parameters
    ----------
    runs
        ``backend``, ``workers``, ``fit_s``; one row for each run.
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
    """Return where each backend takes less time than one process.

    Parameters
    ----------
    runs
        ``backend``, ``images``, ``total_s``; one row for each run.
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
                f"{name}: a run of {size:,} images takes {_verdict(time)} {_LOCAL} "
                f"({time.value:.2f} times, 95 % interval over seeds {time.low:.2f} to "
                f"{time.high:.2f})."
            )
    return found


def _by_size(runs: pd.DataFrame, size: str, figure: str) -> dict[int, np.ndarray]:
    return {int(value): rows[figure].to_numpy() for value, rows in runs.groupby(size)}


def _verdict(time: Interval) -> str:
    if time.high < 1:
        return "less time than"
    return "more time than" if time.low > 1 else "a time not shown to differ from that of"


def _workers_sentence(sizes: dict[int, np.ndarray]) -> str:
    """Return the first step of little gain, else the last step and what it shows."""
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
            return f"whether adding workers to {fewer} helps is not shown: {figures}."
    return f"adding workers helps up to {steps[-1]}, the most that were tried: {figures}."


def _ratio(one: np.ndarray, other: np.ndarray) -> Interval:
    """Return the ratio of the geometric means of seconds, with its 95 % interval.

    Of the logarithms: B. L. Welch, "The generalization of Student's problem when several different
    population variances are involved", Biometrika 34, 1947.
    """
    from scipy.stats import ttest_ind

    tested = ttest_ind(np.log(one), np.log(other), equal_var=False)
    ends = tested.confidence_interval(1 - LEVEL)
    value = np.log(one).mean() - np.log(other).mean()
    return Interval(*(math.exp(end) for end in (value, ends.low, ends.high)))


def _missing(times: Sequence[np.ndarray], what: str) -> str:
    """Return what a conclusion from ``times`` would take, or nothing when it is there."""
    seeds, seconds = min(map(len, times)), min(float(time.mean()) for time in times)
    if seeds >= SEEDS and seconds >= SECONDS:
        return ""
    return (
        f"it takes {SEEDS} seeds or more (--seed 0 --seed 1 --seed 2) and {what} of {SECONDS:.0f} "
        f"s or more; here {seeds} seed{'' if seeds == 1 else 's'} and {seconds:.1f} s"
    )
