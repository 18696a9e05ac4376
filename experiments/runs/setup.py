"""Preparation of a validated experiment: data and connection to the tracking store."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends import Backend, create
from data import limits, process_environment
from data.entry import SHARE, is_private
from data.errors import DataError, SparkStartError
from data.object_store import is_object
from data.own_folders import temporary_folder
from data.prepared import PreparedData, open_prepared
from data.store_address import DEFAULT_URI, VARIABLE, is_from_variable
from data.working_folder import mark_within
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.observer import Observer
from experiments.own_data.machine_size import check_machine
from experiments.own_data.settings import check_positive_class, read_data
from experiments.processes.supervision import TimeLimitError, supervise
from experiments.resources import energy
from experiments.runs.isolation import check_private
from experiments.runs.preparation import PreparationJob, prepared_folder
from experiments.spark.shipping import check_archive
from experiments.tracking.abandoned import tidy
from experiments.tracking.outage import first_line
from experiments.tracking.outbox import OUTBOX, send_waiting
from experiments.tracking.recorder import Recorder, check_reachable
from models import caffe

#: MLflow's variable for the location of the model registry.
_REGISTRY = "MLFLOW_REGISTRY_URI"

_NONE_BEGUN = "no run had started and none is recorded"

#: Maximum number of characters at the end of a log that are shown with an error.
_LONGEST_LOG = 3000


@dataclass(frozen=True)
class PreparedExperiment:
    """Resources that all runs of an experiment share."""

    #: Experiment with the settings that depend on its data.
    experiment: Experiment
    backends: dict[str, Backend]
    data: PreparedData
    recorder: Recorder
    #: Folder for records that could not be sent because their server is unreachable.
    outbox: Path


def prepare_experiment(
    experiment: Experiment, work: Path, observer: Observer, records: str
) -> PreparedExperiment:
    """Prepare the data and open the record concurrently.

    Parameters
    ----------
    experiment
        Validated experiment.
    work
        Folder for prepared data, which is reused between calls.
    observer
        Observer that is notified of progress.
    records
        Name of the MLflow experiment.

    Raises
    ------
    ExperimentError, DataError, BackendError
        If the experiment cannot run as requested; raised before any training.
    """
    limits.check()
    backends = {name: create(name) for name in experiment.backends}
    check_options(experiment, backends)
    backbone = experiment.model.backbone
    if backbone is not None and backbone.missing is not None:
        raise ExperimentError(f"there is no backbone file {backbone.missing}")
    if backbone is not None and backbone.is_caffe:
        caffe.check(caffe.read_definition(*backbone.files))
    if experiment.model.name == "caffe":
        caffe.check(caffe.read_definition(*experiment.model.files))
    if experiment.energy.country:
        energy.check_installed()
    check_archive(experiment.spark)
    check_machine(experiment, [backend.needs_spark for backend in backends.values()])
    check_private(experiment, experiment.prepared or str(work))
    check_reachable(experiment.tracking_uri)
    observer.experiment_starts(experiment, _notes(experiment))
    try:
        experiment, lines = read_data(experiment)
    except (KeyboardInterrupt, SystemExit) as ended:
        ended.add_note(_NONE_BEGUN)
        raise
    observer.data_read(lines)
    recording = _Recording(lambda: Recorder(experiment.tracking_uri, records, experiment.artifacts))
    try:
        data = _prepare(experiment, work, observer, recording.check)
    except (KeyboardInterrupt, SystemExit) as ended:
        ended.add_note(_NONE_BEGUN)
        raise
    check_positive_class(experiment, data.class_names)
    observer.data_ready(data)
    recorder = recording.result()
    outbox = work / OUTBOX
    if sent := send_waiting(outbox):
        observer.record_waits(f"sent {len(sent)} earlier records that had waited for their server")
    for sentence in tidy(experiment.tracking_uri, work, work / "data", outbox):
        observer.record_waits(sentence)
    return PreparedExperiment(experiment, backends, data, recorder, outbox)


class _Recording:
    """Opens the record in a thread: MLflow takes seconds to import, while data are prepared."""

    def __init__(self, make: Callable[[], Recorder]) -> None:
        self._made: list[Recorder] = []
        self._failure: list[Exception] = []
        self._make = make
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def result(self) -> Recorder:
        """Wait for the recorder and return it."""
        self._thread.join()
        self.check()
        return self._made[0]

    def check(self) -> None:
        """Raise an exception if opening the record has failed so far."""
        if not self._failure:
            return
        (error,) = self._failure
        if isinstance(error, ExperimentError):
            raise error
        raise ExperimentError(f"the record cannot be opened: {first_line(error)}") from error

    def _run(self) -> None:
        try:
            self._made.append(self._make())
        except Exception as error:  # raised again by ``check``
            self._failure.append(error)


def check_options(experiment: Experiment, backends: dict[str, Backend]) -> None:
    """Check the options of the backends and their values.

    Raises
    ------
    ExperimentError
        If a backend does not have an option or a value is invalid; the message lists the options.
    """
    from pydantic import ValidationError

    for name, backend in backends.items():
        try:
            backend.options(**experiment.backend_options.get(name, {}))
        except ValidationError as error:
            problem = error.errors()[0]
            fields = ", ".join(backend.options.model_fields) or "none"
            raise ExperimentError(
                f"backend_options.{name}.{'.'.join(map(str, problem['loc']))}: {problem['msg']} "
                f"(options of {name}: {fields})"
            ) from error


def _notes(experiment: Experiment) -> list[str]:
    """Return notes on the run and its record that the user should see before it starts."""
    set_aside = process_environment.note(here=not experiment.spark.has_own_executors)
    notes = [set_aside] if set_aside else []
    if experiment.tracking_uri != DEFAULT_URI:
        source = f" ({VARIABLE})" if is_from_variable(experiment.tracking_uri) else ""
        notes.append(f"recorded in {experiment.tracking_uri}{source}")
    shared = experiment.prepared if experiment.spark.has_own_executors else None
    if shared and not is_object(shared) and is_private():
        notes.append(
            f"only executors of this user can read the prepared images: to allow others, set "
            f"{SHARE}=group or {SHARE}=all"
        )
    if os.environ.get(_REGISTRY):
        notes.append(f"{_REGISTRY} is ignored: networks are registered where runs are recorded")
    return notes


def _prepare(
    experiment: Experiment, work: Path, observer: Observer, on_poll: Callable[[], None]
) -> PreparedData:
    """Prepare the data in a separate process and open them."""
    output = prepared_folder(experiment.data, experiment.prepared or str(work / "data"))
    work.mkdir(parents=True, exist_ok=True)
    mark_within(work, experiment.data.source)
    job = PreparationJob(
        config=experiment.data,
        output=output,
        workers=experiment.workers,
        backbone=experiment.model.backbone if experiment.model.on_features else None,
        seed=experiment.seeds[0],
        drawings=str((work / "data").absolute()),
    )
    with temporary_folder("prepare") as folder:
        (folder / "job.json").write_text(job.model_dump_json())

        def report(event: dict[str, Any]) -> None:
            observer.data_progress(event["done"], event["total"])

        try:
            status = supervise(
                "experiments.runs.preparation",
                folder,
                environment=process_environment.for_spark(),
                time_limit=experiment.time_limit,
                on_event=report,
                on_poll=on_poll,
            )
        except TimeLimitError as error:
            raise ExperimentError(
                f"preparing the data {error}: increase --time-limit, or repeat the command, which "
                "continues where this one stopped"
            ) from error
        if status:
            raise _preparation_error(folder)
        return open_prepared(json.loads((folder / "result.json").read_text())["uri"])


def _preparation_error(folder: Path) -> Exception:
    """Return the error of the process in ``folder`` as one line, with its log as a note."""
    kinds = {kind.__name__: kind for kind in (DataError, SparkStartError)}
    failure, log = folder / "failure.json", (folder / "worker.log").read_text(errors="replace")
    if failure.exists():
        content = json.loads(failure.read_text())
        if content["kind"]:
            return kinds.get(content["kind"], ExperimentError)(content["message"])
        reason = content["message"]
    else:
        reason = (log.strip().splitlines() or ["its process ended without output"])[-1]
    error = ExperimentError(f"preparing the data failed: {reason}")
    error.add_note(log[-_LONGEST_LOG:])
    return error
