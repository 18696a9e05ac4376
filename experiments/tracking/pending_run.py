"""Everything that is known of a run at its end, and how it gets into the record."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from experiments.tracking.recorder import Opening, Recorder
from experiments.tracking.registration import register

if TYPE_CHECKING:
    from mlflow import MlflowClient


class DataEntry(BaseModel):
    """A data set in MLflow's terms."""

    name: str
    digest: str
    source: str
    profile: str
    context: str


class Parcel(BaseModel):
    """The end of one run. Sending it twice leaves the same record as sending it once."""

    #: With an absolute path: it may be sent from another working folder.
    tracking_uri: str
    #: Path of the database from the folder where the parcel waits: both may be moved together.
    database: str = ""
    #: Empty where the server was away when the run began.
    run_id: str
    #: With which the run is opened if it is not there yet.
    opening: Opening | None = None
    status: str
    reason: str = ""
    metrics: dict[str, float] = {}
    #: Metric -> epoch -> value.
    steps: dict[str, dict[int, float]] = {}
    tags: dict[str, str] = {}
    data: DataEntry | None = None
    #: Registered model that the artifact folder ``model`` becomes a version of.
    model_name: str | None = None
    #: Names of the classes that the model tells apart, in label order.
    class_names: tuple[str, ...] = ()
    #: Artifact folder of the model.
    model: str = ""
    #: When the run ended, in milliseconds since 1970.
    ended_ms: int


def send(parcel: Parcel, artifacts: Path, recorder: Recorder) -> str:
    """Write the parcel into the record and close the run.

    Returns
    -------
    str
        Empty, or a note on the name of the registered model, which the record holds too.

    Raises
    ------
    Exception
        Whatever MLflow raises; what was written until then stays.
    """
    run = parcel.run_id
    if not run:
        assert parcel.opening is not None
        run = recorder.open_once(parcel.opening)
    recorder.write(
        run,
        [(name, value, 0) for name, value in parcel.metrics.items()]
        + [(name, v, step) for name, known in parcel.steps.items() for step, v in known.items()],
        parcel.ended_ms,
    )
    recorder.tag(run, parcel.tags)
    if parcel.data is not None:
        _log_data(recorder.client, run, parcel.data)
    if artifacts.is_dir():
        recorder.artifacts(run, artifacts)
    note = ""
    if parcel.model_name:
        classes = parcel.class_names or _classes_of(parcel.data)
        note = register(recorder.client, run, parcel.model_name, parcel.model, classes)
    if note:
        notes = "\n".join(filter(None, [parcel.tags.get("notes"), note]))
        recorder.tag(run, {"notes": notes})
    recorder.close(run, parcel.status, parcel.reason, parcel.ended_ms)
    return note


def _classes_of(entry: DataEntry | None) -> tuple[str, ...]:
    """Return the classes of a parcel that an earlier version has left: its data set names them."""
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
