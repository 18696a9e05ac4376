"""Speed-up, efficiency and core-seconds from the records of a scaling study."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from experiments.records import FINISHED, RunRecord
from experiments.scaling.conclusions import about_images, about_workers
from experiments.scaling.study import Point

_FIGURES = ("fit_s", "total_s", "images_per_s", "f1", "core_seconds")


@dataclass(frozen=True)
class Scaling:
    """Tables of a scaling study."""

    #: One row per run: ``backend``, ``workers`` or ``images`` (the other is missing), ``fit_s``,
    #: ``total_s``, ``images_per_s``, ``f1``, ``core_seconds``.
    runs: pd.DataFrame
    #: Means over seeds, one row per backend and number of workers:
    #: ``backend``, ``workers``, ``fit_s``, ``total_s``, ``images_per_s``, ``f1``,
    #: ``core_seconds``, ``speed_up``, ``efficiency``, ``marginal``.
    workers: pd.DataFrame
    #: Means over seeds, one row per backend and number of training images:
    #: ``backend``, ``images``, ``fit_s``, ``total_s``, ``images_per_s``, ``f1``, ``core_seconds``.
    images: pd.DataFrame
    #: One line for each run that has no result, with the reason.
    failures: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return the conclusions about workers and images, or what is missing to draw them."""
        of_workers = self.runs[self.runs["workers"].notna()]
        of_images = self.runs[self.runs["images"].notna()]
        return [*about_workers(of_workers), *about_images(of_images)]


def results(runs: Sequence[tuple[Point, RunRecord]]) -> Scaling:
    """Return the tables of a study.

    The speed-up is that of the seconds of ``fit``, relative to the fewest workers of the same
    backend: G. M. Amdahl, "Validity of the single processor approach", 1967. ``marginal`` is the
    speed-up gained by a step divided by its ideal gain.
    """
    single = pd.DataFrame(
        [_figures(point, record) for point, record in runs if record.status == FINISHED],
        columns=["backend", "workers", "images", *_FIGURES],
    )
    by_workers, by_images = (_means(single, size) for size in ("workers", "images"))
    parts = [_with_speed_up(rows) for _, rows in by_workers.groupby("backend", sort=False)]
    failures = [
        f"{record.backend}, seed {record.seed}, {_name(point)}: {record.reason}"
        for point, record in runs
        if record.status != FINISHED
    ]
    workers = pd.concat(parts) if parts else by_workers
    return Scaling(single, workers, by_images, tuple(failures))


def _figures(point: Point, record: RunRecord) -> dict[str, Any]:
    return {
        "backend": record.backend,
        "workers": point.workers,
        "images": point.images,
        "fit_s": record.metrics["time.fit_s"],
        "total_s": record.metrics["time.total_s"],
        "images_per_s": record.metrics.get("train.images_per_s"),
        "f1": record.metrics["test.f1"],
        "core_seconds": record.metrics["time.total_s"] * record.workers,
    }


def _means(single: pd.DataFrame, size: str) -> pd.DataFrame:
    """Return means over seeds, with one row per backend and size."""
    rows = single[single[size].notna()].astype({size: int})
    return rows.groupby(["backend", size], sort=False, as_index=False)[list(_FIGURES)].mean()


def _with_speed_up(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values("workers")
    fewest = rows.iloc[0]
    speed_up = fewest["fit_s"] / rows["fit_s"] * fewest["workers"]
    ideal = rows["workers"]
    return rows.assign(
        speed_up=speed_up, efficiency=speed_up / ideal, marginal=speed_up.diff() / ideal.diff()
    )


def _name(point: Point) -> str:
    return f"{point.workers} workers" if point.workers is not None else f"{point.images} images"
