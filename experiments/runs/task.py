"""Messages between parent and worker process, and the training task that a plan describes."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from backends import Backend, TrainingTask
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.resources.executors import ExecutorUse

#: Files of the worker process: predictions for the evaluated and for the validation images.
PREDICTIONS = "predictions.parquet"
VALIDATION_PREDICTIONS = "validation_predictions.parquet"


class Job(BaseModel):
    """Request of the parent process, as ``job.json``."""

    plan: RunPlan
    #: Prepared data set.
    data: str
    #: Spark URL, or None for a backend without Spark.
    master: str | None
    #: True to start Spark and import the framework without training.
    rehearsal: bool = False
    #: Folder for the checkpoint of each epoch; None writes none.
    checkpoints: Path | None = None


class Result(BaseModel):
    """Response of the worker process, as ``result.json``."""

    #: ``finished``, ``failed`` or ``refused``.
    status: str
    reason: str = ""
    traceback: str = ""
    #: Seconds by phase.
    times: dict[str, float] = {}
    epochs: list[dict[str, Any]] = []
    samples_seen: int = 0
    steps: int = 0
    #: Epoch of an earlier process after which training resumed; 0 for a run from the start.
    resumed_after: int = 0
    notes: list[str] = []
    initial_weights_checksum: str | None = None
    #: Use of executors that are not children of the harness.
    executors: ExecutorUse | None = None


def task_of(plan: RunPlan, data: PreparedData, backend: Backend) -> TrainingTask:
    """Return the training task of ``plan`` for ``backend`` on ``data``."""
    experiment = plan.experiment
    weights = None if experiment.imbalance == "none" else data.class_weights()
    return TrainingTask(
        data=data.with_sampling() if experiment.imbalance == "sampling" else data,
        imbalance=experiment.imbalance,
        class_weights=weights,
        model=experiment.model,
        optimizer=experiment.optimizer,
        epochs=experiment.epochs,
        global_batch_size=experiment.batch_size,
        workers=experiment.workers,
        seed=plan.seed,
        options=backend.options(**experiment.backend_options.get(plan.backend, {})),
    )
