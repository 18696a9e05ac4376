"""Runs of an experiment, one after the other, on data that is prepared once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends import Backend
from data.own_folders import temporary_folder
from data.prepared import PreparedData
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.processes.ending import undisturbed
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.runs.comparison_run import (
    ComparisonRun,
    has_comparison,
    open_comparison,
    plans_in_order,
)
from experiments.runs.rehearsal import rehearse
from experiments.runs.resumption import checkpoints, forget, run_key
from experiments.runs.setup import prepare_experiment
from experiments.runs.single_run import SingleRun
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.outbox import close_run
from experiments.tracking.recorder import Recorder

#: Artifacts of the run above: report.html, pictures, tables.
REPORT = "report"
#: Tag with what a run is about.
RUN_KEY = "run.key"


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
        is not repeated. A run that was under way goes on after its last whole epoch.

    Raises
    ------
    ExperimentError, DataError, BackendError
        When the request is wrong, before any training. A run that fails is a record, no error.
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
    ready = prepare_experiment(experiment, work, observer, records=experiment.name)
    backends, data, recorder = ready.backends, ready.data, ready.recorder
    experiment = ready.experiment
    plans = plans_in_order(experiment)
    maker = _Maker(backends, data, recorder, observer, work, ready.outbox, resume)
    if len(plans) == 1 and not (resume and has_comparison(recorder, experiment, data)):
        return [maker.make(plans[0])]
    return _compare(plans, maker)


@dataclass(frozen=True)
class _Maker:
    """Makes single runs, from what an earlier process has left of them if that is asked for."""

    backends: dict[str, Backend]
    data: PreparedData
    recorder: Recorder
    observer: Observer
    work: Path
    outbox: Path
    resume: bool

    def make(self, plan: RunPlan, parent: str | None = None) -> RunRecord:
        """Make one run and return its closed record."""
        key = run_key(plan, self.data)
        with checkpoints(self.work, key, resume=self.resume) as folder:
            if self.resume:
                self.recorder.close_left_open({RUN_KEY: key})
            run = SingleRun(
                plan,
                self.backends[plan.backend],
                self.data,
                self.recorder,
                self.observer,
                parent,
                tags={RUN_KEY: key},
                checkpoints=folder,
                outbox=self.outbox,
            )
            record = run.run()
            if record.status == FINISHED or record.refused:
                forget(folder)
        return record


def _compare(plans: Sequence[RunPlan], maker: _Maker) -> list[RunRecord]:
    """Make the runs that are not there yet, below one run of their own."""
    observer, backends, data = maker.observer, maker.backends, maker.data
    comparison = open_comparison(maker.recorder, plans, data, resume=maker.resume)
    done = dict(comparison.finished)
    waiting = [plan for plan in plans if (plan.backend, plan.seed) not in done]
    observer.comparison_starts(plans, [record for record in done.values() if _asked(record, plans)])
    status, reason = KILLED, "interrupted by the user"
    try:
        if plans[0].experiment.warm_up and len(waiting) > 1:
            rehearse(waiting, backends, data, observer.warm_up_starts)
        for plan in waiting:
            done[plan.backend, plan.seed] = maker.make(plan, comparison.run_id)
        observer.waits("writing the report")
        try:
            patiently(lambda: _report(comparison), comparison.recorder.uri, observer.record_waits)
        except ServerAwayError as away:
            observer.record_waits(f"{away}: the report is missing, 'compare' makes it later")
        status, reason = FINISHED, ""
    except Exception as error:
        status, reason = FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        above = comparison.recorder, comparison.run_id
        with undisturbed():
            close_run(*above, status, reason, maker.outbox, observer.record_waits)
    experiment = plans[0].experiment
    records = [done[name, seed] for seed in experiment.seeds for name in experiment.backends]
    observer.comparison_ends(records)
    return records


def _report(comparison: ComparisonRun) -> None:
    """Keep the report with the run above, where there is something to report."""
    from experiments.comparison import compare, find_runs, write_report

    with temporary_folder("report") as folder:
        runs = find_runs([comparison.recorder.uri], folder / "runs", ids=[comparison.run_id])
        if any(run.finished for run in runs):
            write_report(compare(runs), folder / REPORT)
            comparison.recorder.artifacts(comparison.run_id, folder / REPORT, REPORT)


def _asked(record: RunRecord, plans: Sequence[RunPlan]) -> bool:
    return any((plan.backend, plan.seed) == (record.backend, record.seed) for plan in plans)
