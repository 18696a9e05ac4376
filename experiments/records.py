"""The final record of one run, written by the harness and read back from MLflow."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"


class RunRecord(BaseModel):
    """The final record of one run; the same content as in MLflow."""

    experiment: str
    backend: str
    seed: int
    #: Cores that the run kept.
    workers: int = 1
    #: Empty where the server was away from the run's beginning: it is made when its record is sent.
    run_id: str
    tracking_uri: str
    #: FINISHED, FAILED or KILLED.
    status: str
    reason: str = ""
    #: Whether the backend refused the task before anything started.
    refused: bool = False
    #: Names as in MLflow.
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    #: Training and validation loss by epoch, as the backend told them.
    epochs: list[dict[str, Any]] = []
    notes: list[str] = []
    traceback: str = ""


def stored_record(run: "Run", tracking_uri: str) -> RunRecord:
    """Return the record of a run in MLflow; losses by epoch are not read."""
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
