"""The final record of one run, written by the harness and read back from MLflow."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
#: Metric with the decision threshold; records without it have that of the most probable class.
THRESHOLD = "decision.threshold"


class RunRecord(BaseModel):
    """The final record of one run, with the same content as in MLflow."""

    experiment: str
    backend: str
    seed: int
    #: Number of cores reserved by the run.
    workers: int = 1
    #: Empty if the server was unreachable when the run began: the MLflow run is then created when
    #: the record is sent.
    run_id: str
    tracking_uri: str
    #: FINISHED, FAILED or KILLED.
    status: str
    reason: str = ""
    #: True if the backend does not support the task, so that nothing was started.
    refused: bool = False
    #: Values by MLflow metric name.
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    #: Training and validation loss of each epoch, as reported by the backend.
    epochs: list[dict[str, Any]] = []
    notes: list[str] = []
    traceback: str = ""


def stored_record(run: "Run", tracking_uri: str) -> RunRecord:
    """Return the record of a run in MLflow, without the losses of its epochs."""
    tags, params = run.data.tags, run.data.params
    reason = tags.get("status_reason", "")
    return RunRecord(
        experiment=params.get("name", ""),
        backend=tags.get("backend", params.get("backend", "")),
        seed=int(params.get("seed", 0)),
        workers=int(params.get("workers", 1)),
        run_id=run.info.run_id,
        tracking_uri=tracking_uri,
        status=run.info.status,
        reason="" if reason == "finished" else reason,
        refused=tags.get("refused") == "true",
        metrics=dict(run.data.metrics),
        tags=dict(tags),
        notes=[line for line in tags.get("notes", "").split("\n") if line],
    )
