"""Everything that is known of a run at its end, and how it gets into the record."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from experiments.tracking import Opening, Recorder

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
    #: Artifact folder of the model.
    model: str = ""
    #: When the run ended, in milliseconds since 1970.
    ended_ms: int


def send(parcel: Parcel, artifacts: Path, recorder: Recorder) -> None:
    """Write the parcel into the record and close the run.

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
    if parcel.model_name:
        _register(recorder.client, run, parcel.model_name, parcel.model)
    recorder.close(run, parcel.status, parcel.reason, parcel.ended_ms)


def model_name(experiment: str, backend: str) -> str:
    """Return the name under which the models of a backend are registered."""
    return re.sub(r"[^\w.-]", "-", f"{experiment}-{backend}")


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


def _register(client: "MlflowClient", run: str, name: str, model: str) -> None:
    """Make the artifact folder ``model`` of the run the newest version of ``name``, once."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not client.search_model_versions(f"name = '{name}' and run_id = '{run}'"):
        source = f"{client.get_run(run).info.artifact_uri}/{model}"
        client.create_model_version(name, source, run)
