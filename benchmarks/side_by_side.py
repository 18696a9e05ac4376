"""Ways to do the same, measured turn about so that a machine which slows down favours none."""

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


def turn_about(
    ways: Sequence[str], repeats: int, measure: Callable[[str, int], Measured]
) -> dict[str, list[Measured]]:
    """Return what ``measure`` says of each way and repetition, each round in the other order."""
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for number in range(repeats):
        for way in ways if number % 2 == 0 else reversed(ways):
            found[way].append(measure(way, number))
    return found


def ratio(
    name: str, rates: Mapping[str, Sequence[float]], one: str, other: str, target: float | None
) -> Figure:
    """Return the median over pairs of images per second of ``one`` over those of ``other``."""
    ratios = [own / others for own, others in zip(rates[one], rates[other], strict=True)]
    single = f"{listed(rates[one])} over {listed(rates[other])} images/s"
    return Figure(name, median(ratios), "x", target, True, single)


def in_own_process(
    module: str, *arguments: str, environment: Mapping[str, str]
) -> dict[str, float]:
    """Run ``python -m module arguments``, which prints its figures as the last line, in JSON.

    Raises
    ------
    ExperimentError
        When it fails.
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
        told = done.stderr[-2000:]
        raise ExperimentError(f"python -m {module} {arguments[0]} failed:\n{told}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured
