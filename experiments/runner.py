"""Runs of an experiment, one after the other, on data that is prepared once."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from backends import Backend
from data.prepared import PreparedData
from experiments.comparison_run import ComparisonRun, open_comparison, plans_in_order
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.opening import opened
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.rehearsal import rehearse
from experiments.single_run import SingleRun
from experiments.tracking import Recorder

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
    ready = opened(experiment, work, observer, records=experiment.name)
    backends, data, recorder = ready.backends, ready.data, ready.recorder
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
