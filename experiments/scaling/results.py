"""Speed-up, efficiency and core-seconds, from the records of a study."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.records import FINISHED, RunRecord
from experiments.scaling.study import Point

#: Efficiency of the last workers below which they cost more than they bring.
PAYS = 0.5


@dataclass(frozen=True)
class Scaling:
    """Two tables, a row for each backend and size."""

    #: ``backend``, ``workers``, ``fit_s``, ``total_s``, ``images_per_s``, ``f1``,
    #: ``core_seconds``, ``speed_up``, ``efficiency``, ``marginal``; means over seeds.
    workers: pd.DataFrame
    #: ``backend``, ``images``, ``fit_s``, ``total_s``, ``images_per_s``, ``f1``, ``core_seconds``.
    images: pd.DataFrame
    #: Runs without a result, in words.
    failures: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Return where each backend stops paying."""
        found = []
        for name, rows in self.workers.groupby("backend", sort=False):
            if len(rows) < 2:
                continue
            stops = rows[rows["marginal"] < PAYS]
            if len(stops):
                first = stops.iloc[0]
                found.append(
                    f"{name} stops paying at {first['workers']:.0f} workers: the last ones add "
                    f"{first['marginal']:.0%} of what they cost."
                )
            else:
                last = rows.iloc[-1]
                found.append(
                    f"{name} still pays at {last['workers']:.0f} workers "
                    f"(efficiency {last['efficiency']:.0%})."
                )
        return found + self._against_one_process()

    def _against_one_process(self) -> list[str]:
        """Return from how many images on a backend is quicker than one process."""
        local = self.images[self.images["backend"] == "keras_local"].set_index("images")["total_s"]
        found = []
        for name, rows in self.images.groupby("backend", sort=False):
            if name == "keras_local" or local.empty:
                continue
            seconds = rows.set_index("images")["total_s"]
            quicker = [size for size in seconds.index if seconds[size] < local.get(size, 0.0)]
            found.append(
                f"{name} takes less time than keras_local from {min(quicker):,} images on."
                if quicker
                else f"{name} takes longer than keras_local at every size up to "
                f"{int(seconds.index.max()):,} images."
            )
        return found


def results(runs: Sequence[tuple[Point, RunRecord]]) -> Scaling:
    """Return the tables of a study.

    Speed-up is of the seconds of ``fit``, against the fewest workers of the same backend:
    G. M. Amdahl, "Validity of the single processor approach", 1967. ``marginal`` is the speed that
    a step adds over what its workers would add ideally.
    """
    done = [(point, record) for point, record in runs if record.status == FINISHED]
    by_workers = _table([pair for pair in done if pair[0].workers is not None], "workers")
    by_images = _table([pair for pair in done if pair[0].images is not None], "images")
    parts = [_with_speed_up(rows) for _, rows in by_workers.groupby("backend", sort=False)]
    failures = [
        f"{record.backend}, seed {record.seed}, {_name(point)}: {record.reason}"
        for point, record in runs
        if record.status != FINISHED
    ]
    return Scaling(pd.concat(parts) if parts else by_workers, by_images, tuple(failures))


def _table(runs: list[tuple[Point, RunRecord]], size: str) -> pd.DataFrame:
    columns = ["fit_s", "total_s", "images_per_s", "f1", "core_seconds"]
    rows = [
        {
            "backend": record.backend,
            size: getattr(point, size),
            "fit_s": record.metrics["time.fit_s"],
            "total_s": record.metrics["time.total_s"],
            "images_per_s": record.metrics.get("train.images_per_s"),
            "f1": record.metrics["test.f1"],
            "core_seconds": record.metrics["time.total_s"] * record.workers,
        }
        for point, record in runs
    ]
    table = pd.DataFrame(rows, columns=["backend", size, *columns])
    return table.groupby(["backend", size], sort=False, as_index=False)[columns].mean()


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
