"""Reading back what was recorded."""

from typing import TYPE_CHECKING

from experiments.records import RunRecord

if TYPE_CHECKING:
    from mlflow.entities import Run


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
