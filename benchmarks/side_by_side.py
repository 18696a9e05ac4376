"""Alternating measurement of several ways to do the same, so that drift affects them equally."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.figures import Figure, listed
from data.process_environment import for_spark
from data.project import ROOT
from experiments.errors import ExperimentError

Measured = TypeVar("Measured")


def alternate(
    ways: Sequence[str], repeats: int, measure: Callable[[str, int], Measured]
) -> dict[str, list[Measured]]:
    """Measure all ways in each of several rounds, reversing their order from round to round.

    Parameters
    ----------
    ways
        Names of the ways.
    repeats
        Number of rounds.
    measure
        Function of a way and the number of the round.

    Returns
    -------
    dict
        Results of ``measure`` by way, one per round.
    """
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for number in range(repeats):
        for way in ways if number % 2 == 0 else reversed(ways):
            found[way].append(measure(way, number))
    return found


def ratio(
    name: str, rates: Mapping[str, Sequence[float]], one: str, other: str, target: float | None
) -> Figure:
    """Return the median over rounds of the ratio of two rates.

    Parameters
    ----------
    name
        Name of the figure.
    rates
        Images per second by way, one per round.
    one, other
        Ways in the numerator and in the denominator.
    target
        Smallest acceptable ratio; None if there is no target.
    """
    ratios = [own / others for own, others in zip(rates[one], rates[other], strict=True)]
    single = f"{listed(rates[one])} over {listed(rates[other])} images/s"
    return Figure(name, median(ratios), "x", target, True, single)


def in_own_process(
    module: str, *arguments: str, environment: Mapping[str, str]
) -> dict[str, float]:
    """Run ``python -m module arguments`` and return the figures of its last line, parsed as JSON.

    Raises
    ------
    ExperimentError
        If the process fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**for_spark(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = done.stderr[-2000:]
        raise ExperimentError(f"python -m {module} {arguments[0]} failed:\n{output}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured
