"""Facts about backends from which one of them is recommended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.comparison.difference import Difference
from experiments.comparison.findings import BASELINE, Findings, Row
from experiments.scoring.uncertainty import Interval

#: Phases whose seconds grow with the number of images; the others are taken to be constant.
GROWING = ("time.load_s", "time.fit_s", "time.predict_s", "time.predict_validation_s")
#: Smallest ratio of total seconds at which a backend is called faster.
LEAST_SPEEDUP = 1.1
#: Largest loss of F1 that the interval of a faster backend may include (noninferiority), unless a
#: margin of equivalence is given.
LARGEST_LOSS = 0.05
_ONE_PROCESS = "none:"


@dataclass(frozen=True)
class Candidate:
    """A backend that trains, with what a recommendation depends on."""

    label: str
    backend: str
    f1: Interval
    #: Difference from the baseline; None for the baseline itself.
    difference: Difference | None
    #: Total seconds of each run; empty if there are none that describe whole runs.
    seconds: tuple[float, ...]
    #: Mean seconds of the phases that grow with the number of images.
    growing_s: float
    #: True if its seconds are comparable with those of the baseline.
    comparable: bool
    #: True if the training is divided among the workers.
    distributed: bool
    platform: str = "here"

    @property
    def title(self) -> str:
        """The label, preceded by a description if it is the backend without Spark."""
        return f"one Keras process ({self.label})" if self.backend == BASELINE else self.label

    @property
    def total_s(self) -> float:
        """Mean total seconds; NaN if unknown."""
        return float(np.mean(self.seconds)) if self.seconds else float("nan")

    @property
    def worse(self) -> bool:
        """True if its F1 is lower than that of the baseline, at least before correction.

        For a recommendation, an uncorrected interval below zero is reason enough to prefer another
        backend.
        """
        found = self.difference
        if found is None or found.identical:
            return False
        return found.interval.value < 0 and (found.shown or found.interval.excludes_zero)

    @property
    def noninferior(self) -> bool:
        """True if its F1 is shown not to be lower by more than the margin, or `LARGEST_LOSS`.

        Without a margin, the lower end of the 95 % interval decides: G. Piaggio et al., "Reporting
        of noninferiority and equivalence randomized trials", JAMA 308, 2012. A wide interval
        therefore never qualifies a backend.
        """
        found = self.difference
        if found is None or found.identical:
            return True
        if self.worse:
            return False
        if found.margin is not None:
            return found.equivalent
        return found.interval.known and found.interval.low >= -LARGEST_LOSS

    @property
    def better(self) -> bool:
        """True if its F1 is shown to be higher than that of the baseline."""
        found = self.difference
        return found is not None and found.shown and found.interval.low > 0

    def seconds_at(self, factor: float) -> float:
        """Return the estimated total seconds with ``factor`` times as many images."""
        return self.total_s + (factor - 1) * self.growing_s

    def speedup(self, other: "Candidate") -> float:
        """Return how many times as fast this backend is as ``other``; NaN if unknown."""
        if not (self.comparable and other.comparable and self.total_s > 0):
            return float("nan")
        return other.total_s / self.total_s

    def faster(self, other: "Candidate") -> bool:
        """Return True if every run is shorter than every run of ``other``, and clearly in mean."""
        if not (self.speedup(other) >= LEAST_SPEEDUP):
            return False
        return max(self.seconds) < min(other.seconds)

    def overtakes(self, other: "Candidate") -> float:
        """Return the factor of images from which this backend is faster; infinite if never."""
        gained = other.growing_s - self.growing_s
        if not gained > 0:
            return float("inf")
        return max(1.0, 1 + (self.total_s - other.total_s) / gained)


def candidates(findings: Findings) -> list[Candidate]:
    """Return the backends that train, the baseline first."""
    return [_candidate(row) for row in findings.rows if row.trained]


def suitable(found: Sequence[Candidate], floor: float = float("nan")) -> list[Candidate]:
    """Return the backends among which the time decides, because F1 does not.

    If a backend is shown to have a higher F1 than the baseline, these are all such backends.
    Otherwise they are the baseline and the backends that are shown not to be inferior. Backends
    that do not exceed ``floor``, the F1 of the majority class, are never among them.
    """
    above = [one for one in found if not one.f1.value <= floor]
    if better := [one for one in above if one.better]:
        return better
    return [one for one in above if one.noninferior] or above


def _candidate(row: Row) -> Candidate:
    run = row.runs[0]
    tag = run.record.tags.get("synchronisation", _ONE_PROCESS)
    growing = [row.mean(name) for name in GROWING]
    return Candidate(
        label=row.label,
        backend=row.backend,
        f1=row.f1,
        difference=row.difference,
        seconds=tuple(map(float, row.values("time.total_s"))),
        growing_s=float(np.nansum(growing)),
        comparable=not row.speed_obstacles,
        distributed=not tag.startswith(_ONE_PROCESS),
        platform=run.params.get("platform", "here"),
    )
