"""What a set of runs shows: a row for each backend, and what does not fit in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.config import Unit
from experiments.comparison.comparable import obstacles, reference_of, speed_obstacles
from experiments.comparison.difference import Difference
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import differences, f1_over_units
from experiments.errors import ExperimentError
from experiments.scoring.caveats import few_examples
from experiments.scoring.uncertainty import RELIABLE_PATIENTS, Interval
from experiments.units import counted, names_of_units, plural

BASELINE = "keras_local"
#: Looks at no image: neither a choice nor a witness of what is hard.
FLOOR = "majority"
#: Phases of a run, in their order, by the name of their metric.
PHASES = {
    "time.spark_start_s": "Spark and imports",
    "time.load_s": "open data",
    "time.fit_s": "fit",
    "time.fit_other_s": "validate and set up",
    "time.predict_s": "predict",
}


#: Metrics that, for a run that went on after an interruption, are of its last part alone.
_OF_A_PART = ("time.total_s", "time.spark_start_s", "time.fit_other_s", "resources.")


@dataclass(frozen=True)
class Row:
    """One backend on one platform, over its seeds."""

    label: str
    runs: tuple[ComparedRun, ...]
    f1: Interval
    difference: Difference | None
    #: Why its seconds do not compare with those of the baseline; empty when they do.
    speed_obstacles: tuple[str, ...]

    def values(self, metric: str) -> np.ndarray:
        """Return a metric of each run that has it, shape (runs,)."""
        found = [
            run.record.metrics[metric]
            for run in self.runs
            if metric in run.record.metrics
            and not (run.resumed_after and metric.startswith(_OF_A_PART))
        ]
        return np.array(found, float)

    def mean(self, metric: str) -> float:
        """Return the mean over seeds; not a number when no run has the metric."""
        values = self.values(metric)
        return float(values.mean()) if len(values) else float("nan")

    def spread(self, metric: str) -> float:
        """Return the standard deviation over seeds (n - 1); not a number for one run."""
        values = self.values(metric)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len({run.record.seed for run in self.runs})

    @property
    def trained(self) -> bool:
        """Whether the backend learns anything."""
        return self.runs[0].record.backend != FLOOR

    @property
    def core_seconds(self) -> float:
        """Mean over runs of the cores that were kept, times the seconds."""
        return self.mean("time.total_s") * float(self.runs[0].params.get("workers", "1"))

    @property
    def cost(self) -> float:
        """Mean price of a run: cores kept and peak memory, each by the hour; 0 without prices."""
        params = self.runs[0].params
        hours = self.mean("time.total_s") / 3600
        core, gb = (float(params.get(f"price.{key}", 0)) for key in ("core_hour", "gb_hour"))
        gibibytes = self.mean("resources.peak_memory_bytes") / 2**30
        return hours * (core * float(params.get("workers", "1")) + gb * gibibytes)


@dataclass(frozen=True)
class Excluded:
    """A run that is in no row, and why."""

    run: ComparedRun
    reason: str


@dataclass(frozen=True)
class Findings:
    """All of a comparison."""

    title: str
    baseline: str
    rows: tuple[Row, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    #: Unit of the split, and number of units in the test set.
    unit: Unit
    groups: int
    synthetic: bool

    @property
    def reliable(self) -> bool:
        """True when there are enough test patients, lesions or images for an interval."""
        return self.groups >= RELIABLE_PATIENTS

    @property
    def sample(self) -> str:
        """The test set in words: ``16 unseen test patients``."""
        number, _, noun = counted(self.groups, self.unit).partition(" ")
        distinct = " distinct" if self.unit == "image" else ""
        return f"{number} unseen{distinct} test {noun}"

    @property
    def sentences(self) -> list[str]:
        """What was found about differences, in words."""
        return [
            row.difference.sentence(row.label, self.baseline)
            for row in self.rows
            if row.difference is not None
        ]


def compare(runs: Sequence[ComparedRun], baseline: str = BASELINE) -> Findings:
    """Put comparable runs into rows.

    Parameters
    ----------
    runs
        As ``find_runs`` returns them.
    baseline
        The backend that the others are set against; the first row where it has not run.

    Raises
    ------
    ExperimentError
        When no run has finished.
    """
    if not any(run.finished for run in runs):
        reasons = "; ".join(f"{run.record.backend}: {run.record.reason}" for run in runs)
        raise ExperimentError(f"no run has finished, so there is nothing to compare ({reasons})")
    reference = reference_of(runs, baseline)
    groups: dict[str, list[ComparedRun]] = {}
    excluded = []
    for run in runs:
        if reason := _reason_to_leave_out(run, reference, runs):
            excluded.append(Excluded(run, reason))
        else:
            groups.setdefault(run.label, []).append(run)
    base = reference.label
    compared = differences(groups, base)
    unit = reference.unit
    groups_tested = names_of_units(reference.predictions, unit).nunique()
    rows = [
        Row(
            name,
            tuple(sorted(members, key=lambda run: run.record.seed)),
            f1_over_units(members),
            compared.get(name),
            tuple(speed_obstacles(members[0], reference)),
        )
        for name, members in groups.items()
    ]
    rows.sort(key=lambda row: (row.label != base, -row.f1.value))
    return Findings(
        title=", ".join(sorted({run.record.experiment for run in runs})),
        baseline=base,
        rows=tuple(rows),
        excluded=tuple(excluded),
        notes=(
            *_sample_notes(rows, groups_tested, unit),
            *_one_class_notes(rows),
            *_notes(runs, rows, reference, baseline),
        ),
        unit=unit,
        groups=groups_tested,
        synthetic=any(run.record.tags.get("synthetic") == "true" for run in runs),
    )


def _reason_to_leave_out(
    run: ComparedRun, reference: ComparedRun, runs: Sequence[ComparedRun]
) -> str:
    if run.record.refused:
        return run.record.reason
    if not run.finished:
        return f"{run.record.status}: {run.record.reason or 'still under way'}"
    if missing := {"test.f1", "time.total_s"} - set(run.record.metrics):
        return f"its record lacks {', '.join(sorted(missing))}"
    if found := obstacles(run, reference, runs):
        return f"not comparable: {'; '.join(found)}"
    return ""


def _one_class_notes(rows: Sequence[Row]) -> list[str]:
    """Return which trained networks call every test image the same class."""
    notes = []
    for row in rows:
        if not row.trained:
            continue
        run = row.runs[0]
        columns = [f"probability_{name}" for name in run.class_names]
        single = [
            one.record.seed
            for one in row.runs
            if len(set(one.predictions[columns].to_numpy().argmax(axis=1))) == 1
        ]
        if single:
            seeds = ", ".join(map(str, single))
            notes.append(
                f"{row.label} predicts one class for all test images with seed {seeds}; that F1 "
                "says nothing about what it has learned."
            )
    return notes


def _sample_notes(rows: Sequence[Row], groups: int, unit: Unit) -> list[str]:
    """Return what too few patients or seeds do to the figures."""
    notes = []
    if groups < RELIABLE_PATIENTS:
        notes.append(
            f"The 95 % intervals and p values are not reliable with {groups} test {plural(unit)}: "
            f"it takes {RELIABLE_PATIENTS} or more."
        )
    predictions = rows[0].runs[0].predictions
    notes += few_examples(
        predictions["label"].to_numpy(),
        names_of_units(predictions, unit).to_numpy(),
        rows[0].runs[0].class_names,
        unit,
    )
    counts = [row.seeds for row in rows]
    if max(counts) == 1:
        notes.append(
            "One seed only: the figures are those of these trained networks and say nothing about "
            "the backends. With --seed 0 --seed 1 --seed 2, chance in training is counted too."
        )
    elif min(counts) != max(counts):
        listed = ", ".join(f"{row.label} {row.seeds}" for row in rows)
        notes.append(f"The backends have different numbers of seeds: {listed}.")
    return notes


def _notes(
    runs: Sequence[ComparedRun], rows: Sequence[Row], reference: ComparedRun, baseline: str
) -> list[str]:
    notes = []
    if reference.record.backend != baseline:
        notes.append(f"{baseline} has not finished here; {reference.label} is the baseline.")
    if len(rows) == 1:
        notes.append("One backend only: there is nothing to set it against.")
    notes += [
        f"{run.label}, seed {run.record.seed}, went on after epoch {run.resumed_after} of an "
        "interrupted run: its total seconds and resources are left out."
        for row in rows
        for run in row.runs
        if run.resumed_after
    ]
    commits = {run.record.tags.get("code.commit", "unknown") for run in runs}
    if len(commits) > 1:
        notes.append(f"The runs were made with {len(commits)} versions of the code.")
    notes += [
        f"{row.label}: seconds not comparable with those of {reference.label}: "
        f"{', '.join(row.speed_obstacles)}."
        for row in rows
        if row.speed_obstacles
    ]
    return notes
