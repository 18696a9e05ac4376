"""The record in MLflow. A run is opened before training starts and always closed."""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from uuid import uuid4

from pydantic import BaseModel

from data.store_address import (
    DEFAULT_URI,
    VARIABLE,
    absolute_uri,
    is_from_variable,
    is_server,
    named,
    prepare_mlflow,
    sqlite_path,
    unreachable,
)
from experiments.errors import ExperimentError
from experiments.records import KILLED
from experiments.tracking.process_mark import State, own_mark, state_of
from experiments.tracking.store import check_database, make_ready

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: MLflow's tag for the parent of a run.
PARENT = "mlflow.parentRunId"
#: Tag with the mark of the process of a run (:mod:`experiments.tracking.process_mark`).
PROCESS = "run.process"
#: Status reason of a run whose process has died.
LEFT_OPEN = "its process ended without closing the record"

_RUNNING = "RUNNING"
_IDENTITY = "run.identity"
#: Database servers that MLflow supports.
_DATABASES = {"postgresql", "mysql", "mssql"}
#: MLflow's limit for one batch of metrics.
_BATCH = 1000
#: MLflow's limit for the length of a tag.
_TAG_LENGTH = 5000


def check_reachable(uri: str, *, reading: bool = False) -> None:
    """Check that the store ``uri`` can be written to or, with ``reading``, be read.

    Raises
    ------
    ExperimentError
        If the server does not answer, the database or its folder cannot be written to, or MLflow
        does not support the address.
    """
    if is_server(uri):
        if reason := unreachable(uri):
            raise ExperimentError(
                f"the MLflow server {uri} does not answer ({reason}): start it, or "
                f"{_instead(uri)} to record in mlflow.db here"
            )
        return
    path = sqlite_path(uri)
    if path is not None and path.name != ":memory:":
        check_database(path, uri, reading=reading)
    elif _is_store(scheme := urlparse(uri).scheme):
        if scheme.partition("+")[0] in _DATABASES:
            _check_driver(uri)
    else:
        raise ExperimentError(
            f"{named(uri)}: MLflow keeps records in a database or on a server; use for example "
            f"{DEFAULT_URI}"
        )


def _is_store(scheme: str) -> bool:
    """Return whether MLflow or a plugin supports stores with ``scheme``, other than SQLite."""
    return scheme.partition("+")[0] in _DATABASES or bool(
        entry_points(group="mlflow.tracking_store", name=scheme)
    )


def _check_driver(uri: str) -> None:
    """Raise ExperimentError if the driver package for the database of ``uri`` is missing."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        raise ExperimentError(
            f"{named(uri)}: the package {error.name}, the driver of this database, is not "
            "installed: install it, or select another driver, as in mysql+pymysql://"
        ) from error
    except ArgumentError as error:
        raise ExperimentError(f"{named(uri)}: {error}") from error


def _instead(uri: str) -> str:
    return f"unset {VARIABLE}" if is_from_variable(uri) else "omit --tracking-uri"


def now_ms() -> int:
    """Return the current time in milliseconds since 1970, the unit of MLflow."""
    return int(time.time() * 1000)


def client_of(uri: str) -> "MlflowClient":
    """Return a client with short timeouts and without progress bars.

    A database is first created or migrated if necessary. Models are registered in the same store
    even if MLFLOW_REGISTRY_URI names another one, which cannot access the artifacts of this one.

    Raises
    ------
    ExperimentError
        If the database cannot be used.
    """
    prepare_mlflow()
    from mlflow import MlflowClient

    make_ready(uri)
    # MLflow caches a store for each address, and the working folder of a notebook may change.
    store = absolute_uri(uri)
    return MlflowClient(tracking_uri=store, registry_uri=store)


def close(
    client: "MlflowClient", run: str, status: str, reason: str, ended_ms: int | None = None
) -> None:
    """End a run as FINISHED, FAILED or KILLED, with ``reason`` as its status reason."""
    client.set_tag(run, "status_reason", (reason or "finished")[:_TAG_LENGTH], synchronous=True)
    client.set_terminated(run, status, ended_ms)


class RunStart(BaseModel):
    """Name, parameters and tags with which a run is created."""

    experiment: str
    #: Artifact location of a new experiment; None uses the default of the server.
    artifacts: str | None = None
    #: Tag value that finds the run if the server's response to its creation was lost.
    identity: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    #: Start of the run, in milliseconds since 1970.
    started_ms: int


class Recorder:
    """Writes runs of one experiment or, without an experiment, to existing runs."""

    def __init__(
        self, uri: str, experiment: str | None = None, artifacts: str | None = None
    ) -> None:
        """Open ``experiment``; if it is new, its artifacts are stored in ``artifacts``."""
        self.uri = uri
        self.experiment = experiment or ""
        self._artifacts = artifacts
        self.client = client_of(uri)
        self.experiment_id = self._experiment(experiment, artifacts) if experiment else ""

    def run_start(
        self,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        parent: str | None = None,
    ) -> RunStart:
        """Return the data that create a run, below ``parent`` if it is given."""
        return RunStart(
            experiment=self.experiment,
            artifacts=self._artifacts,
            identity=uuid4().hex,
            name=name,
            params=dict(params),
            tags={**tags, PROCESS: own_mark(), **({PARENT: parent} if parent else {})},
            started_ms=now_ms(),
        )

    def open(
        self,
        name: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        parent: str | None = None,
    ) -> str:
        """Open a run, below ``parent`` if it is given, and return its id."""
        return self.start_run(self.run_start(name, params, tags, parent))

    def start_run(self, start: RunStart) -> str:
        """Create the run if it does not exist yet, and return its id.

        A previous call may have created it, although the connection to the server was lost.
        """
        from mlflow.entities import Param

        found = self.runs({_IDENTITY: start.identity})
        if found:
            run_id = str(found[0].info.run_id)
        else:
            tags = {**start.tags, _IDENTITY: start.identity}
            run = self.client.create_run(
                self.experiment_id,
                start.started_ms,
                {key: value[:_TAG_LENGTH] for key, value in tags.items()},
                start.name,
            )
            run_id = str(run.info.run_id)
        params = [Param(key, value) for key, value in start.params.items()]
        self.client.log_batch(run_id, params=params, synchronous=True)
        return run_id

    def runs(self, tags: Mapping[str, str]) -> "list[Run]":
        """Return the runs with these tags, the newest first."""
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        return list(
            self.client.search_runs(
                [self.experiment_id], condition, order_by=["attributes.start_time DESC"]
            )
        )

    def reopen(self, run: str) -> None:
        """Set an ended run to RUNNING, and close the runs below it that still have this status.

        They remain open after a crash of the machine or ``kill -9``.

        Raises
        ------
        ExperimentError
            If the run is under way in another process.
        """
        self._check_left(self.client.get_run(run))
        self.close_left_open({PARENT: run})
        self.tag(run, {PROCESS: own_mark()})
        self.client.update_run(run, status=_RUNNING)

    def close_left_open(self, tags: Mapping[str, str]) -> None:
        """Close the runs with these tags that have the status RUNNING.

        Raises
        ------
        ExperimentError
            If one of them is under way in another process.
        """
        for run in self.runs(tags):
            if run.info.status == _RUNNING:
                self._check_left(run)
                self.close(run.info.run_id, KILLED, LEFT_OPEN)

    def _check_left(self, run: "Run") -> None:
        mark = run.data.tags.get(PROCESS, "")
        under_way = run.info.status == _RUNNING and state_of(mark) is State.ALIVE
        if under_way and mark != own_mark():
            raise ExperimentError(
                f"{run.info.run_name} is under way in another process: wait until it ends, or "
                "omit --resume"
            )

    def steps(self, run: str, metric: str) -> tuple[int, ...]:
        """Return the steps for which a run has ``metric``, in ascending order."""
        return tuple(sorted(p.step for p in self.client.get_metric_history(run, metric)))

    def metrics(self, run: str, values: Mapping[str, float]) -> None:
        """Write final metrics, which have step 0."""
        self.write(run, [(name, value, 0) for name, value in values.items()], now_ms())

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Write tags."""
        for key, value in tags.items():
            self.client.set_tag(run, key, value[:_TAG_LENGTH], synchronous=True)

    def artifacts(self, run: str, folder: Path, place: str | None = None) -> None:
        """Upload all files of ``folder`` to the folder ``place`` of the run's artifacts."""
        self.client.log_artifacts(run, str(folder), place)

    def close(self, run: str, status: str, reason: str, ended_ms: int | None = None) -> None:
        """End a run as FINISHED, FAILED or KILLED, with ``reason`` as its status reason."""
        close(self.client, run, status, reason, ended_ms)

    def _experiment(self, name: str, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = artifacts and f"{artifacts.rstrip('/')}/{name}"
            try:
                return str(self.client.create_experiment(name, place))
            except MlflowException as error:  # another process may have created it in the meantime
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)
        if found is None:
            raise ExperimentError(f"the MLflow experiment '{name}' cannot be read back")
        if found.lifecycle_stage != "active":
            raise ExperimentError(
                f"the MLflow experiment '{name}' was deleted: restore it, or give another --name"
            )
        return str(found.experiment_id)

    def write(self, run: str, rows: Sequence[tuple[str, float, int]], moment_ms: int) -> None:
        """Write metrics with their steps; a value that is written twice is stored once."""
        import mlflow
        from mlflow.entities import Metric

        # MLflow would link every metric to the model of MLFLOW_ACTIVE_MODEL_ID, which belongs to
        # another record, and reject it. The active model is known by thread.
        if mlflow.get_active_model_id() is not None:
            mlflow.clear_active_model()
        entities: list[Any] = [Metric(name, value, moment_ms, step) for name, value, step in rows]
        for start in range(0, len(entities), _BATCH):
            batch = entities[start : start + _BATCH]
            self.client.log_batch(run, metrics=batch, synchronous=True)
