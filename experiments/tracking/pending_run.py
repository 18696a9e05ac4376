"""The complete results of a run at its end, and how they are written to MLflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import AliasChoices, BaseModel, Field

from experiments.tracking.data_entry import DataEntry
from experiments.tracking.model import card_of_model, name_run
from experiments.tracking.recorder import Recorder, RunStart
from experiments.tracking.registration import register

if TYPE_CHECKING:
    from mlflow import MlflowClient


class PendingRun(BaseModel):
    """The results of one run. Sending them is idempotent."""

    #: Address with an absolute path, since the run may be sent from another working folder.
    tracking_uri: str
    #: Path of the database relative to the folder of the pending run, so that both can be moved
    #: together.
    database: str = ""
    #: Empty if the server was unreachable when the run began.
    run_id: str
    #: Used to create the run in MLflow if it does not exist yet.
    start: RunStart | None = Field(default=None, validation_alias=AliasChoices("start", "opening"))
    status: str
    reason: str = ""
    metrics: dict[str, float] = {}
    #: Values by metric and epoch.
    steps: dict[str, dict[int, float]] = {}
    tags: dict[str, str] = {}
    data: DataEntry | None = None
    #: Registered model of which the artifact folder ``model`` becomes a version.
    model_name: str | None = None
    #: Names of the classes of the model, in label order.
    class_names: tuple[str, ...] = ()
    #: Artifact folder of the model.
    model: str = ""
    #: End of the run, in milliseconds since 1970.
    ended_ms: int


def send(pending: PendingRun, artifacts: Path, recorder: Recorder) -> str:
    """Write the pending run to MLflow and close it.

    Parameters
    ----------
    pending
        Results of the run.
    artifacts
        Folder with the run's artifacts; it need not exist.
    recorder
        Recorder of the run's store.

    Returns
    -------
    str
        Empty, or a note on the name of the registered model, which is also stored in the record.

    Raises
    ------
    Exception
        Any error of MLflow; what was written before it is kept.
    """
    run = pending.run_id
    if not run:
        assert pending.start is not None
        run = recorder.start_run(pending.start)
    recorder.write(
        run,
        [(name, value, 0) for name, value in pending.metrics.items()]
        + [(name, v, step) for name, known in pending.steps.items() for step, v in known.items()],
        pending.ended_ms,
    )
    recorder.tag(run, pending.tags)
    if pending.data is not None:
        _log_data(recorder.client, run, pending.data)
    card = card_of_model(artifacts / pending.model) if pending.model_name else None
    if card is not None and not card.run_id:
        card = name_run(artifacts, card, run)
    if artifacts.is_dir():
        recorder.artifacts(run, artifacts)
    note = ""
    if pending.model_name:
        classes = pending.class_names or _classes_of(pending.data)
        note = register(recorder.client, run, pending.model_name, pending.model, classes, card)
    if note:
        notes = "\n".join(filter(None, [pending.tags.get("notes"), note]))
        recorder.tag(run, {"notes": notes})
    recorder.close(run, pending.status, pending.reason, pending.ended_ms)
    return note


def _classes_of(entry: DataEntry | None) -> tuple[str, ...]:
    """Return the classes of a pending run of an earlier version, from its data set."""
    profile = json.loads(entry.profile) if entry is not None else {}
    return tuple(profile.get("classes", ()))


def _log_data(client: "MlflowClient", run_id: str, entry: DataEntry) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=entry.name,
        digest=entry.digest,
        source_type="local",
        source=entry.source,
        profile=entry.profile,
    )
    tags = [InputTag("mlflow.data.context", entry.context)]
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags)])
