"""Runs of a scaling study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.addresses import local_path
from data.entry import private_files
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.observer import Observer
from experiments.records import RunRecord


@dataclass(frozen=True)
class Point:
    """One size at which every backend runs; None keeps the experiment's own setting."""

    workers: int | None = None
    images: int | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the values that it sets, by key of the experiment."""
        changed = {"workers": self.workers, "data.split.train_images": self.images}
        return {key: value for key, value in changed.items() if value is not None}


def points(workers: Sequence[int], images: Sequence[int]) -> list[Point]:
    """Return the points of a study: each number of workers, then each number of images.

    The setting that a point does not vary is that of the experiment.
    """
    return [
        *(Point(workers=count) for count in sorted(set(workers))),
        *(Point(images=count) for count in sorted(set(images))),
    ]


@private_files()
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
    """Run every backend at every point.

    The global batch size is the same at all points, so that steps are comparable.

    Parameters
    ----------
    experiment
        Experiment file or name of a shipped experiment; None is an experiment on the data of
        ``overrides``.
    backends
        Names of the backends.
    asked
        Points of the study.
    overrides
        Values that replace those of the experiment, by dotted key.
    work
        Folder for prepared data.
    observer
        Observer of all runs.
    resume
        If True, runs that have finished are not repeated.

    Returns
    -------
    list of (Point, RunRecord)
        Record of each run with its point.

    Raises
    ------
    ExperimentError, DataError, BackendError
        If a point is invalid, such as more workers than images in a batch, or ``overrides`` sets a
        key that the study varies.
    """
    from experiments.runs.runner import run_experiment

    observer = observer or Observer()
    varied = {key for point in asked for key in point.overrides()}
    if both := sorted(varied & overrides.keys()):
        raise ExperimentError(f"the study varies '{both[0]}', so it cannot be set as well")
    # All points are validated before the first one is run.
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
    for point, part in parts:
        records = run_experiment(part, work=local_path(work), observer=observer, resume=resume)
        found += [(point, record) for record in records]
    return found
