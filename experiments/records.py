"""What the harness tells about one run when it is over."""

from typing import Any

from pydantic import BaseModel

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
