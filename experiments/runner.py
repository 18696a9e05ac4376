"""Runs of an experiment, one after the other, on data that is prepared once."""

import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backends import Backend, create
from data.errors import DataError
from data.prepared import PreparedData, open_prepared
from experiments.cluster import spark_environment
from experiments.comparison_run import ComparisonRun, open_comparison, plans_in_order
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.observer import Observer
from experiments.preparation import PreparationJob, prepared_folder
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.rehearsal import rehearse
from experiments.single_run import SingleRun
from experiments.supervision import supervise
from experiments.tracking import Recorder, check_reachable

#: Artifacts of the run above: report.html, pictures, tables.
REPORT = "report"


def run_experiment(
    experiment: Experiment, *, work: Path, observer: Observer | None = None, resume: bool = False
) -> list[RunRecord]:
    """Run every backend and seed of ``experiment``; return their records, seed by seed.

    Several runs are a comparison: they stand below one run of their own, in an order drawn from
    the seeds, after a start of every backend that is not counted.

    Parameters
    ----------
    experiment
        The validated plan.
    work
        Folder for prepared data; it is reused between calls.
    observer
        Told what happens.
    resume
        Go on with the newest comparison of the same experiment and data: what has finished there
        is not repeated.

    Raises
    ------
    ExperimentError, DataError, BackendError
        When the request is wrong, before any training. A run that fails is a record, no error.
    KeyboardInterrupt
        After the interrupted run was closed as KILLED and all processes have ended.
    """
    observer = observer or Observer()
    backends = {name: create(name) for name in experiment.backends}
    _check_options(experiment, backends)
    backbone = experiment.model.backbone
    if backbone is not None and backbone.is_file and not backbone.path.is_file():
        raise ExperimentError(f"there is no backbone file {backbone.name}")
    check_reachable(experiment.tracking_uri)
    observer.experiment_starts(experiment, [])
    opening = _Opening(lambda: Recorder(experiment.tracking_uri, experiment.name))
    data = _prepare(experiment, work, observer)
    if experiment.positive_class not in data.class_names:
        raise ExperimentError(
            f"positive_class '{experiment.positive_class}' is none of the data's classes: "
            f"{', '.join(data.class_names)}"
        )
    observer.data_ready(data)
    recorder = opening.result()
    plans = plans_in_order(experiment)
    if len(plans) == 1 and not resume:
        (plan,) = plans
        return [SingleRun(plan, backends[plan.backend], data, recorder, observer).run()]
    return _compare(plans, backends, data, recorder, observer, resume)


def _compare(
    plans: Sequence[RunPlan],
    backends: dict[str, Backend],
    data: PreparedData,
    recorder: Recorder,
    observer: Observer,
    resume: bool,
) -> list[RunRecord]:
    """Make the runs that are not there yet, below one run of their own."""
    comparison = open_comparison(recorder, plans, data, resume=resume)
    done = dict(comparison.finished)
    waiting = [plan for plan in plans if (plan.backend, plan.seed) not in done]
    observer.comparison_starts(plans, [record for record in done.values() if _asked(record, plans)])
    status, reason = KILLED, "interrupted by the user"
    try:
        if plans[0].experiment.warm_up and len(waiting) > 1:
            rehearse(waiting, backends, data)
        for plan in waiting:
            backend = backends[plan.backend]
            run = SingleRun(plan, backend, data, recorder, observer, comparison.run_id)
            done[plan.backend, plan.seed] = run.run()
        _report(comparison)
        status, reason = FINISHED, ""
    except Exception as error:
        status, reason = FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        comparison.close(status, reason)
    experiment = plans[0].experiment
    records = [done[name, seed] for seed in experiment.seeds for name in experiment.backends]
    observer.comparison_ends(records)
    return records


def _report(comparison: ComparisonRun) -> None:
    """Keep the report with the run above, where there is something to report."""
    from experiments.comparison import compare, find_runs, write_report

    with tempfile.TemporaryDirectory(prefix="sparkdl-report-") as name:
        folder = Path(name)
        runs = find_runs([comparison.recorder.uri], folder / "runs", ids=[comparison.run_id])
        if any(run.finished for run in runs):
            write_report(compare(runs), folder / REPORT)
            comparison.recorder.artifacts(comparison.run_id, folder / REPORT, REPORT)


def _asked(record: RunRecord, plans: Sequence[RunPlan]) -> bool:
    return any((plan.backend, plan.seed) == (record.backend, record.seed) for plan in plans)


class _Opening:
    """Opens the record in a thread: importing MLflow takes seconds that data can use."""

    def __init__(self, make: Callable[[], Recorder]) -> None:
        self._made: list[Recorder] = []
        self._failure: list[Exception] = []
        self._make = make
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def result(self) -> Recorder:
        """Return the recorder when it is there."""
        self._thread.join()
        if self._failure:
            raise ExperimentError(f"the record cannot be opened: {self._failure[0]}")
        return self._made[0]

    def _run(self) -> None:
        try:
            self._made.append(self._make())
        except Exception as error:  # raised again in the thread that asks
            self._failure.append(error)


def _check_options(experiment: Experiment, backends: dict[str, Backend]) -> None:
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


def _prepare(experiment: Experiment, work: Path, observer: Observer) -> PreparedData:
    """Prepare the data in a process of its own and open it."""
    output = prepared_folder(experiment.data, work)
    work.mkdir(parents=True, exist_ok=True)
    job = PreparationJob(
        config=experiment.data,
        output=str(output),
        workers=experiment.workers,
        backbone=experiment.model.backbone if experiment.model.on_features else None,
        seed=experiment.seeds[0],
    )
    with tempfile.TemporaryDirectory(prefix="sparkdl-prepare-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(job.model_dump_json())

        def tell(event: dict[str, Any]) -> None:
            observer.data_progress(event["done"], event["total"])

        status = supervise(
            "experiments.preparation",
            folder,
            environment=spark_environment(),
            time_limit=experiment.time_limit,
            on_event=tell,
        )
        if status:
            raise _preparation_error(folder)
        return open_prepared(json.loads((folder / "result.json").read_text())["uri"])


def _preparation_error(folder: Path) -> Exception:
    failure = folder / "failure.json"
    if failure.exists():
        content = json.loads(failure.read_text())
        if content["kind"]:
            kind = DataError if content["kind"] == "DataError" else ExperimentError
            return kind(content["message"])
    log = (folder / "worker.log").read_text(errors="replace")
    return ExperimentError(f"preparing the data failed:\n{log[-3000:]}")
