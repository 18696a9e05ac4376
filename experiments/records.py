"""The final record of one run, written by the harness and read back from MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from experiments.errors import ExperimentError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
#: Metric with the decision threshold; records without it have that of the most probable class.
THRESHOLD = "decision.threshold"
VALIDATION_F1 = "validation.f1"


#: Columns of the table of records, before the metrics.
_COLUMNS = ("experiment", "backend", "seed", "status", "reason", "workers", "run_id")
#: Metrics that a notebook shows.
_SHOWN = ("test.f1", "test.roc_auc", "time.fit_s", "time.total_s")


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

    def artifact(self, name: str) -> Path:
        """Return the local path of a file or folder that the run has recorded.

        Parameters
        ----------
        name
            Path below the run's artifacts, such as ``predictions.parquet`` or ``model``.

        Raises
        ------
        ExperimentError
            If the run has no such artifact, or its store cannot be reached.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            path = download_artifacts(
                run_id=self.run_id, artifact_path=name, tracking_uri=self.tracking_uri
            )
        except (MlflowException, OSError) as error:
            raise ExperimentError(
                f"run {self.run_id or 'without id'} has no artifact {name}: {error}"
            ) from error
        return Path(path)

    @property
    def has_network(self) -> bool:
        """True if the run has finished and recorded a network."""
        checksum = self.tags.get("initial_weights.checksum", "none")
        return self.status == FINISHED and checksum != "none"


class RunRecords(list[RunRecord]):
    """Records of several runs. A notebook shows them as a table."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row for each run, with the metrics as columns of float64."""
        import pandas as pd

        rows = [
            {
                **{name: getattr(record, name) for name in _COLUMNS},
                **dict(sorted(record.metrics.items())),
            }
            for record in self
        ]
        return pd.DataFrame(rows, columns=None if rows else list(_COLUMNS))

    def best(self) -> RunRecord:
        """Return the run whose network has the highest F1 on the validation images.

        Test images must not select a model.

        Raises
        ------
        ExperimentError
            If no run has recorded a network and its F1 on validation images.
        """
        found = [one for one in self if one.has_network and VALIDATION_F1 in one.metrics]
        if not found:
            raise ExperimentError("no run has recorded a network and its F1 on validation images")
        return max(found, key=lambda one: one.metrics[VALIDATION_F1])

    def __repr__(self) -> str:
        return self._shown().to_string(index=False, float_format="{:,.3f}".format)

    def _repr_html_(self) -> str:
        table = self._shown()
        return str(table.to_html(index=False, border=0, float_format="{:,.3f}".format))

    def _shown(self) -> "pd.DataFrame":
        table = self.to_pandas()
        shown = [name for name in (*_COLUMNS[:4], *_SHOWN) if name in table]
        if any(record.reason for record in self):
            shown.append("reason")
        return table[shown]


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
