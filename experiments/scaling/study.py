"""The runs of a scaling study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import experiments
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.observer import Observer
from experiments.records import RunRecord


@dataclass(frozen=True)
class Point:
    """One size at which every backend runs; None leaves the experiment's own."""

    workers: int | None = None
    images: int | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the keys of the experiment that it changes."""
        changed = {"workers": self.workers, "data.split.train_images": self.images}
        return {key: value for key, value in changed.items() if value is not None}


def points(workers: Sequence[int], images: Sequence[int]) -> list[Point]:
    """Return the points of a study: workers with all images, then images with the own workers."""
    return [
        *(Point(workers=count) for count in sorted(set(workers))),
        *(Point(images=count) for count in sorted(set(images))),
    ]


def run_study(
    experiment: str | None,
    backends: Sequence[str],
    asked: Sequence[Point],
    *,
    overrides: Mapping[str, Any],
    work: Path,
    observer: Observer | None = None,
    resume: bool = False,
) -> list[tuple[Point, RunRecord]]:
    """Run every backend at every point; the global batch stays, so that steps are comparable.

    Raises
    ------
    ExperimentError, DataError, BackendError
        When a point cannot be asked for, such as more workers than images in a batch, or
        ``overrides`` sets what the study varies.
    """
    observer = observer or Observer()
    varied = {key for point in asked for key in point.overrides()}
    if both := sorted(varied & overrides.keys()):
        raise ExperimentError(f"'{both[0]}' is what the study varies; it cannot be set beside that")
    # A point that cannot be asked for is refused before the first one is run.
    parts = [
        (point, load(experiment, {**overrides, **point.overrides(), "backends": list(backends)}))
        for point in asked
    ]
    observer.study_starts(
        [
            (backend, point.images)
            for point, part in parts
            for _ in part.seeds
            for backend in part.backends
        ]
    )
    found = []
    for point in asked:
        changed = {**overrides, **point.overrides()}
        records = experiments.run(
            experiment,
            backends=backends,
            overrides=changed,
            work=work,
            observer=observer,
            resume=resume,
        )
        found += [(point, record) for record in records]
    return found
