"""Runs of an experiment, one after the other, on data that are prepared once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data.own_folders import temporary_folder
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.processes.ending import undisturbed
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.runs.comparison_run import (
    ComparisonRun,
    has_comparison,
    open_comparison,
    plans_in_order,
    record_best,
)
from experiments.runs.rehearsal import rehearse
from experiments.runs.resumption import checkpoints, forget, run_key
from experiments.runs.setup import PreparedExperiment, prepare_experiment
from experiments.runs.single_run import SingleRun
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.outbox import close_run

#: Artifact folder of the parent run: report.html, pictures, tables.
REPORT = "report"
#: Tag that identifies plan and data of a run.
RUN_KEY = "run.key"


def run_experiment(
    experiment: Experiment, *, work: Path, observer: Observer | None = None, resume: bool = False
) -> list[RunRecord]:
    """Run every backend and seed of ``experiment``; return their records, seed by seed.

    Several runs are a comparison: they are child runs of one parent run, in an order drawn from the
    seeds, after an uncounted start of every backend.

    Parameters
    ----------
    experiment
        The validated plan.
    work
        Folder for prepared data; it is reused between calls.
    observer
        Receives what happens.
    resume
        Resume the newest comparison of the same experiment and data: finished runs are not
        repeated, and an unfinished run resumes after its last whole epoch.

    Raises
    ------
    ExperimentError, DataError, BackendError
        When the request is wrong, before any training. A failed run is a record, not an error.
    KeyboardInterrupt
        After the interrupted run was closed as KILLED and all processes have ended.
    """
    observer = observer or Observer()
    try:
        return _run(experiment, work, observer, resume=resume)
    finally:
        observer.ends()


def _run(
    experiment: Experiment, work: Path, observer: Observer, *, resume: bool
) -> list[RunRecord]:
    prepared = prepare_experiment(experiment, work, observer, records=experiment.name)
    recorder, experiment = prepared.recorder, prepared.experiment
    plans = plans_in_order(experiment)
    runs = _Runs(prepared, observer, work, resume)
    if len(plans) == 1 and not (resume and has_comparison(recorder, experiment, prepared.data)):
        return [runs.run(plans[0])]
    return _compare(plans, runs)


@dataclass(frozen=True)
class _Runs:
    """Runs plans of a prepared experiment, and resumes what an earlier process left unfinished."""

    prepared: PreparedExperiment
    observer: Observer
    work: Path
    resume: bool

    def run(self, plan: RunPlan, parent: str | None = None) -> RunRecord:
        """Return the closed record of one run."""
        data, recorder = self.prepared.data, self.prepared.recorder
        key = run_key(plan, data)
        with checkpoints(self.work, key, resume=self.resume) as folder:
            if self.resume:
                recorder.close_left_open({RUN_KEY: key})
            run = SingleRun(
                plan,
                self.prepared.backends[plan.backend],
                data,
                recorder,
                self.observer,
                parent,
                tags={RUN_KEY: key},
                checkpoints=folder,
                outbox=self.prepared.outbox,
            )
            record = run.run()
            if record.status == FINISHED or record.refused:
                forget(folder)
        return record


def _compare(plans: Sequence[RunPlan], runs: _Runs) -> list[RunRecord]:
    """Run the plans that have not finished yet, as child runs of one parent run."""
    observer, prepared = runs.observer, runs.prepared
    comparison = open_comparison(prepared.recorder, plans, prepared.data, resume=runs.resume)
    done = dict(comparison.finished)
    waiting = [plan for plan in plans if (plan.backend, plan.seed) not in done]
    observer.comparison_starts(plans, [record for record in done.values() if _asked(record, plans)])
    status, reason = KILLED, "interrupted by the user"
    try:
        if plans[0].experiment.warm_up and len(waiting) > 1:
            rehearse(waiting, prepared.backends, prepared.data, observer.warm_up_starts)
        for plan in waiting:
            done[plan.backend, plan.seed] = runs.run(plan, comparison.run_id)
        observer.waits("writing the report")
        try:
            best = partial(record_best, comparison, [*done.values()])
            patiently(best, comparison.recorder.uri, observer.record_waits)
            patiently(lambda: _report(comparison), comparison.recorder.uri, observer.record_waits)
        except ServerAwayError as away:
            observer.record_waits(f"{away}: the report is missing; 'compare' can write it later")
        status, reason = FINISHED, ""
    except Exception as error:
        status, reason = FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        parent = comparison.recorder, comparison.run_id
        with undisturbed():
            close_run(*parent, status, reason, prepared.outbox, observer.record_waits)
    experiment = plans[0].experiment
    records = [done[name, seed] for seed in experiment.seeds for name in experiment.backends]
    observer.comparison_ends(records)
    return records


def _report(comparison: ComparisonRun) -> None:
    """Record the report with the parent run, unless no run has finished."""
    from experiments.comparison import compare, find_runs, write_report

    with temporary_folder("report") as folder:
        runs = find_runs([comparison.recorder.uri], folder / "runs", ids=[comparison.run_id])
        if any(run.finished for run in runs):
            write_report(compare(runs), folder / REPORT)
            comparison.recorder.artifacts(comparison.run_id, folder / REPORT, REPORT)


def _asked(record: RunRecord, plans: Sequence[RunPlan]) -> bool:
    return any((plan.backend, plan.seed) == (record.backend, record.seed) for plan in plans)
