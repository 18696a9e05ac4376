"""Findings of a comparison: one row per backend, excluded runs, and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data.config import Unit
from experiments.comparison.comparable import obstacles, reference_of, speed_obstacles
from experiments.comparison.difference import Difference
from experiments.comparison.runs import ComparedRun
from experiments.comparison.scores import mean_scores
from experiments.comparison.statistics import differences, f1_over_units
from experiments.errors import ExperimentError
from experiments.scoring.caveats import few_examples
from experiments.scoring.uncertainty import RELIABLE_PATIENTS, Interval
from experiments.units import counted, names_of_units, plural

BASELINE = "keras_local"
#: Backend that reads no image; Pareto fronts and hard cases exclude it.
FLOOR = "majority"
#: Backend without deep learning, which every network should exceed.
SIMPLE = "gradient_boosting"
#: Names of the phases of a run, in order, by metric.
PHASES = {
    "time.spark_start_s": "Spark and imports",
    "time.load_s": "open data",
    "time.fit_s": "fit",
    "time.fit_other_s": "validate and set up",
    "time.predict_s": "predict",
    "time.predict_validation_s": "predict validation images",
    "time.save_model_s": "save the network",
}


#: Metrics that, for a resumed run, cover only the part after the interruption.
_OF_A_PART = ("time.total_s", "time.spark_start_s", "time.fit_other_s", "resources.")


@dataclass(frozen=True)
class Row:
    """Runs of one backend on one platform, over all seeds."""

    label: str
    runs: tuple[ComparedRun, ...]
    #: Mean F1 over seeds with its 95 % interval.
    f1: Interval
    #: Difference from the baseline; None for the baseline itself.
    difference: Difference | None
    #: Reasons why its seconds are not comparable with those of the baseline; empty if they are.
    speed_obstacles: tuple[str, ...]

    @cached_property
    def scores(self) -> dict[str, Interval]:
        """Sensitivity, specificity and ROC AUC with their intervals, as in `mean_scores`."""
        return mean_scores(self.runs)

    def values(self, metric: str) -> np.ndarray:
        """Return the values of a metric over the runs that have it, shape (runs,)."""
        found = [
            run.record.metrics[metric]
            for run in self.runs
            if metric in run.record.metrics
            and not (run.resumed_after and metric.startswith(_OF_A_PART))
        ]
        return np.array(found, float)

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over seeds; NaN if no run has the metric."""
        values = self.values(metric)
        return float(values.mean()) if len(values) else float("nan")

    def spread(self, metric: str) -> float:
        """Return the standard deviation of a metric over seeds (n - 1); NaN for one run."""
        values = self.values(metric)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    @property
    def seeds(self) -> int:
        """Number of distinct seeds."""
        return len({run.record.seed for run in self.runs})

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.runs[0].record.backend

    @property
    def trained(self) -> bool:
        """True if the backend trains a model."""
        return self.backend != FLOOR

    @property
    def core_seconds(self) -> float:
        """Number of reserved cores times the mean total seconds of a run."""
        return self.mean("time.total_s") * float(self.runs[0].params.get("workers", "1"))

    @property
    def cost(self) -> float:
        """Mean price of a run, from reserved cores and peak memory per hour; 0 without prices."""
        params = self.runs[0].params
        hours = self.mean("time.total_s") / 3600
        core, gb = (float(params.get(f"price.{key}", 0)) for key in ("core_hour", "gb_hour"))
        gibibytes = self.mean("resources.peak_memory_bytes") / 2**30
        return hours * (core * float(params.get("workers", "1")) + gb * gibibytes)


@dataclass(frozen=True)
class Excluded:
    """A run that is not in any row, and the reason."""

    run: ComparedRun
    reason: str


@dataclass(frozen=True)
class Findings:
    """Result of a comparison."""

    title: str
    baseline: str
    rows: tuple[Row, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    #: Unit of the split.
    unit: Unit
    #: Number of units in the test set.
    groups: int
    synthetic: bool
    #: Largest difference of F1 that is regarded as irrelevant; None if equivalence is not tested.
    margin: float | None = None

    @property
    def reliable(self) -> bool:
        """True if there are enough test patients, lesions or images for a reliable interval."""
        return self.groups >= RELIABLE_PATIENTS

    @property
    def sample(self) -> str:
        """Description of the test set: ``16 unseen test patients``."""
        number, _, noun = counted(self.groups, self.unit).partition(" ")
        distinct = " distinct" if self.unit == "image" else ""
        return f"{number} unseen{distinct} test {noun}"

    @property
    def sentences(self) -> list[str]:
        """Differences from the baseline, one sentence per backend."""
        return [
            row.difference.sentence(row.label, self.baseline)
            for row in self.rows
            if row.difference is not None
        ]


def check_margin(margin: float | None) -> None:
    """Raise ExperimentError for a margin that is not between 0 and 1."""
    if margin is not None and not 0 < margin < 1:
        raise ExperimentError(f"--margin is a difference of F1 between 0 and 1, not {margin:g}")


def compare(
    runs: Sequence[ComparedRun], baseline: str = BASELINE, margin: float | None = None
) -> Findings:
    """Group comparable runs into one row per backend.

    Parameters
    ----------
    runs
        Runs returned by ``find_runs``.
    baseline
        Backend with which the others are compared. If it has not finished, another one is used.
    margin
        Largest difference of F1 that is regarded as irrelevant, between 0 and 1; None does not test
        equivalence.

    Raises
    ------
    ExperimentError
        If no run has finished, or the margin is not between 0 and 1.
    """
    check_margin(margin)
    if not any(run.finished for run in runs):
        reasons = "; ".join(f"{run.record.backend}: {run.record.reason}" for run in runs)
        raise ExperimentError(f"no run has finished, so there is nothing to compare ({reasons})")
    reference = reference_of(runs, baseline)
    groups: dict[str, list[ComparedRun]] = {}
    excluded = []
    for run in runs:
        if reason := _reason_to_exclude(run, reference, runs):
            excluded.append(Excluded(run, reason))
        else:
            groups.setdefault(run.label, []).append(run)
    base = reference.label
    compared = differences(groups, base, margin)
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
            *_simple_notes(rows),
            *_notes(runs, rows, reference, baseline),
        ),
        unit=unit,
        groups=groups_tested,
        synthetic=any(run.record.tags.get("synthetic") == "true" for run in runs),
        margin=margin,
    )


def _reason_to_exclude(
    run: ComparedRun, reference: ComparedRun, runs: Sequence[ComparedRun]
) -> str:
    if run.record.refused:
        return run.record.reason
    if not run.finished:
        return f"{run.record.status}: {run.record.reason or 'still in progress'}"
    if missing := {"test.f1", "time.total_s"} - set(run.record.metrics):
        return f"its record lacks {', '.join(sorted(missing))}"
    if found := obstacles(run, reference, runs):
        return f"not comparable: {'; '.join(found)}"
    return ""


def _one_class_notes(rows: Sequence[Row]) -> list[str]:
    """Return a note for each backend that predicts the same class for every test image."""
    notes = []
    for row in rows:
        if not row.trained:
            continue
        single = [one.record.seed for one in row.runs if len(set(one.decided)) == 1]
        if single:
            seeds = ", ".join(map(str, single))
            notes.append(
                f"{row.label} predicts one class for all test images with seed {seeds}; that F1 "
                "does not reflect what it has learned."
            )
    return notes


def _simple_notes(rows: Sequence[Row]) -> list[str]:
    """Return a note for each row without deep learning that exceeds rows with a network."""
    notes = []
    for simple in rows:
        if simple.backend != SIMPLE:
            continue
        exceeded = [
            f"{row.label} ({row.f1.value:.3f})"
            for row in rows
            if row.trained and row.backend != SIMPLE and row.f1.value < simple.f1.value
        ]
        if exceeded:
            notes.append(
                f"{simple.label}, which trains no network, has a higher F1 "
                f"({simple.f1.value:.3f}) than {', '.join(exceeded)}."
            )
    return notes


def _sample_notes(rows: Sequence[Row], groups: int, unit: Unit) -> list[str]:
    """Return notes on results that rest on too few patients, images or seeds."""
    notes = []
    if groups < RELIABLE_PATIENTS:
        notes.append(
            f"The 95 % intervals and p values are not reliable with {groups} test {plural(unit)}: "
            f"at least {RELIABLE_PATIENTS} are needed."
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
            "One seed only: the results describe these trained networks, not the backends. With "
            "--seed 0 --seed 1 --seed 2, the randomness of training is taken into account."
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
        notes.append("One backend only: there is nothing to compare it with.")
    notes += [
        f"{run.label}, seed {run.record.seed}, was resumed after epoch {run.resumed_after} of an "
        "interrupted run: its total seconds and resources are omitted."
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
