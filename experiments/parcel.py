"""Everything that is known of a run at its end, to be sent now or, with a server gone, later."""

import json
import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from experiments.errors import ExperimentError
from experiments.tracking import Recorder, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Seconds that a server may be away before the parcel is put down.
PATIENCE = 120.0
_RETRY_SECONDS = 2.0
#: Folder for parcels that wait, below the folder of prepared data.
OUTBOX = "outbox"
_CONTENT = "parcel.json"
_ARTIFACTS = "artifacts"
_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class DataEntry(BaseModel):
    """A data set in MLflow's terms."""

    name: str
    digest: str
    source: str
    profile: str
    context: str


class Parcel(BaseModel):
    """The end of one run. Sending it twice leaves the same record as sending it once."""

    tracking_uri: str
    run_id: str
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


class ServerAwayError(ExperimentError):
    """The server does not answer and has not for as long as one should wait."""


def patiently(
    call: Callable[[], Result],
    uri: str,
    on_wait: Callable[[str], None] = lambda _: None,
    patience: float | None = None,
) -> Result:
    """Return what ``call`` returns; while the server ``uri`` is away, try again.

    Raises
    ------
    ServerAwayError
        When it stays away. What ``call`` raises while the server answers is raised as it is.
    """
    patience = PATIENCE if patience is None else patience
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            return call()
        except Exception as error:
            if _answers(uri):
                raise
            if time.monotonic() > deadline:
                raise ServerAwayError(f"the MLflow server {uri} does not answer") from error
            if not told:
                on_wait(f"the MLflow server {uri} does not answer: trying for {patience:g} s")
                told = True
            time.sleep(_RETRY_SECONDS)


def send(parcel: Parcel, artifacts: Path, recorder: Recorder) -> None:
    """Write the parcel into the record and close the run.

    Raises
    ------
    Exception
        Whatever MLflow raises; what was written until then stays.
    """
    recorder.write(
        parcel.run_id,
        [(name, value, 0) for name, value in parcel.metrics.items()]
        + [(name, v, step) for name, known in parcel.steps.items() for step, v in known.items()],
        parcel.ended_ms,
    )
    recorder.tag(parcel.run_id, parcel.tags)
    if parcel.data is not None:
        _log_data(recorder.client, parcel.run_id, parcel.data)
    if artifacts.is_dir():
        recorder.artifacts(parcel.run_id, artifacts)
    if parcel.model_name:
        _register(recorder.client, parcel)
    recorder.close(parcel.run_id, parcel.status, parcel.reason, parcel.ended_ms)


def deliver(
    parcel: Parcel,
    artifacts: Path,
    recorder: Recorder,
    outbox: Path,
    on_wait: Callable[[str], None] = lambda _: None,
    patience: float | None = None,
) -> str:
    """Send ``parcel``; wait for a server that is away, and put the parcel down if it stays away.

    Returns
    -------
    str
        Empty, or a sentence that says where the record waits and how it gets to the server.

    Raises
    ------
    ExperimentError
        When the server answers and does not take the record. The parcel is in ``outbox`` then.
    """
    try:
        patiently(lambda: send(parcel, artifacts, recorder), parcel.tracking_uri, on_wait, patience)
    except ServerAwayError as away:
        place = _put_down(parcel, artifacts, outbox)
        return (
            f"{away}: the record waits in {place} and is sent with the next run, or by "
            "'python -m experiments send'."
        )
    except Exception as error:
        place = _put_down(parcel, artifacts, outbox)
        raise ExperimentError(
            f"{type(error).__name__}: {error}; everything is kept in {place}: repair the cause, "
            "then 'python -m experiments send'"
        ) from error
    return ""


def waiting(outbox: Path) -> list[tuple[Parcel, Path]]:
    """Return the parcels in ``outbox`` with their folders, the oldest first."""
    found = [
        (Parcel.model_validate_json(path.read_text()), path.parent)
        for path in outbox.glob(f"*/{_CONTENT}")
    ]
    return sorted(found, key=lambda one: one[0].ended_ms)


def send_waiting(outbox: Path) -> list[str]:
    """Send what waits in ``outbox``; return the ids of the runs that were sent.

    What cannot be sent stays, with a warning.
    """
    sent = []
    for parcel, folder in waiting(outbox):
        try:
            check_reachable(parcel.tracking_uri)
            send(parcel, folder / _ARTIFACTS, Recorder(parcel.tracking_uri))
        except Exception as error:  # one that fails must not hold up the others
            _log.warning("the record in %s was not sent: %s", folder, error)
            continue
        shutil.rmtree(folder)
        sent.append(parcel.run_id)
    return sent


def model_name(experiment: str, backend: str) -> str:
    """Return the name under which the models of a backend are registered."""
    return re.sub(r"[^\w.-]", "-", f"{experiment}-{backend}")


def _put_down(parcel: Parcel, artifacts: Path, outbox: Path) -> Path:
    """Keep the parcel in ``outbox``, whole or not at all."""
    place = outbox / parcel.run_id
    unfinished = outbox / f".{parcel.run_id}.unfinished"
    for folder in (place, unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if artifacts.is_dir():
        shutil.copytree(artifacts, unfinished / _ARTIFACTS)
    (unfinished / _CONTENT).write_text(json.dumps(parcel.model_dump(), indent=1))
    unfinished.rename(place)
    return place


def _answers(uri: str) -> bool:
    try:
        check_reachable(uri)
    except ExperimentError:
        return False
    return True


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


def _register(client: "MlflowClient", parcel: Parcel) -> None:
    """Make the model of the run the newest version of its name, once."""
    from mlflow.exceptions import MlflowException

    name = str(parcel.model_name)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = client.search_model_versions(f"name = '{name}' and run_id = '{parcel.run_id}'")
    if not known:
        source = f"{client.get_run(parcel.run_id).info.artifact_uri}/{parcel.model}"
        client.create_model_version(name, source, parcel.run_id)
