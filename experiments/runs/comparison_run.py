"""The parent MLflow run of one comparison, and the finished runs of an interrupted one."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.prepared import PreparedData
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.records import FINISHED, VALIDATION_F1, RunRecord, RunRecords, stored_record
from experiments.tracking import provenance
from experiments.tracking.recorder import PARENT, Recorder
from experiments.units import UNIT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

#: Tag of the parent run with the digest that identifies its comparison.
KEY = "comparison.key"
#: Keys of an experiment that do not influence the result of a run.
_NOT_DECIDING = {
    "seeds",
    "backends",
    "backend_classes",
    "time_limit",
    "tracking_uri",
    "warm_up",
    "description",
    "price",
    "energy",
    "prepared",
    "artifacts",
}
#: Keys that were added later, with the value that older comparisons have: they can be resumed.
_ADDED = {"threshold": "0.5", "calibration": "none"}
#: The same for the keys of the optimizer.
_ADDED_TO_OPTIMIZER = {"momentum": 0.0, "nesterov": False, "policy": None}
#: Metrics of the best run that the parent run has too.
_OF_THE_BEST = (
    VALIDATION_F1,
    "test.f1",
    "test.roc_auc",
    "time.fit_s",
    "time.total_s",
    "resources.cpu_s",
    "resources.peak_memory_mib",
)


@dataclass(frozen=True)
class ComparisonRun:
    """An open parent run."""

    recorder: Recorder
    run_id: str
    #: Records of runs that need not be repeated, by backend and seed.
    finished: dict[tuple[str, int], RunRecord]
    resumed: bool


def plans_in_order(experiment: Experiment) -> list[RunPlan]:
    """Return all runs, ordered by seed; the seed determines the order of its backends.

    A machine that slows down over several hours would otherwise favor the same backend for every
    seed.
    """
    return [
        RunPlan(experiment=experiment, backend=experiment.backends[place], seed=seed)
        for seed in experiment.seeds
        for place in np.random.default_rng(seed).permutation(len(experiment.backends))
    ]


def open_comparison(
    recorder: Recorder, plans: Sequence[RunPlan], data: PreparedData, *, resume: bool
) -> ComparisonRun:
    """Open the parent run of ``plans``; with ``resume``, the newest one of the same comparison.

    Runs that remained open because their process was killed are closed as KILLED.
    """
    experiment = plans[0].experiment
    key = comparison_key(experiment, data)
    order = json.dumps([f"{plan.backend}-seed{plan.seed}" for plan in plans])
    if resume and (found := recorder.runs({KEY: key})):
        above = str(found[0].info.run_id)
        recorder.reopen(above)
        recorder.tag(above, {"comparison.order": order})
        finished = _finished(recorder.runs({PARENT: above}), recorder.uri)
        return ComparisonRun(recorder, above, finished, resumed=True)
    tags = {
        KEY: key,
        "comparison.order": order,
        "data.fingerprint": data.summary.fingerprint,
        "split.checksum": data.summary.split_checksum,
        UNIT_TAG: data.summary.unit,
        "code.commit": provenance.code_commit(),
    }
    params = {
        "backends": ", ".join(experiment.backends),
        "seeds": ", ".join(map(str, experiment.seeds)),
    }
    above = recorder.open(f"comparison-{experiment.name}", params, tags)
    return ComparisonRun(recorder, above, {}, resumed=False)


def has_comparison(recorder: Recorder, experiment: Experiment, data: PreparedData) -> bool:
    """Return whether there is a comparison to resume."""
    return bool(recorder.runs({KEY: comparison_key(experiment, data)}))


def comparison_key(experiment: Experiment, data: PreparedData) -> str:
    """Return a digest of everything that determines the results, except backend and seed."""
    content = experiment.model_dump(mode="json", exclude=_NOT_DECIDING)
    content = {key: value for key, value in content.items() if value != _ADDED.get(key, ...)}
    # The location of images and networks does not matter; digests identify their content.
    del content["data"]["source"]
    for name in ("prototxt", "weights"):
        del content["model"][name]
    for name, value in _ADDED_TO_OPTIMIZER.items():
        if content["optimizer"][name] == value:
            del content["optimizer"][name]
    backbone = content["model"]["backbone"]
    if backbone is not None and backbone["caffemodel"] is None:
        del backbone["caffemodel"]
    if files := [_digest(path) for path in experiment.model.files]:
        content["model"]["files"] = files
    content["fingerprint"] = data.summary.fingerprint
    content["split"] = data.summary.split_checksum
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def record_best(comparison: ComparisonRun, records: Sequence[RunRecord]) -> None:
    """Record the main metrics of the best run with the parent run, whose row MLflow shows first.

    The best run is that with the highest F1 on the validation images. Without one, nothing is
    recorded.
    """
    try:
        best = RunRecords(records).best()
    except ExperimentError:
        return
    found = {name: best.metrics[name] for name in _OF_THE_BEST if name in best.metrics}
    comparison.recorder.metrics(comparison.run_id, found)
    comparison.recorder.tag(
        comparison.run_id, {"best.backend": best.backend, "best.run_id": best.run_id}
    )


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _finished(children: "Sequence[Run]", uri: str) -> dict[tuple[str, int], RunRecord]:
    records = [stored_record(child, uri) for child in children]
    return {
        (record.backend, record.seed): record
        for record in records
        if record.status == FINISHED or record.refused
    }
