"""Hyperparameter search: trials as child runs of one MLflow run, optionally in parallel."""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends import Backend, create
from backends.search import Range
from data.entry import private_files
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.observer import Observer
from experiments.overrides import Given
from experiments.processes.ending import undisturbed
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.runs.comparison_run import comparison_key
from experiments.runs.setup import PreparedExperiment, check_options, prepare_experiment
from experiments.runs.single_run import SingleRun
from experiments.tracking.outbox import close_run
from experiments.tuning.own_settings import (
    enqueue_again,
    enqueue_own,
    is_own,
    own_settings,
    space_of,
)
from experiments.tuning.space import Space, default_space, suggest
from experiments.tuning.storage import PARENT_RUN, Direction, check_study_file, open_study
from experiments.tuning.watching import SearchObserver, TrialObserver

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

#: Scores on the validation images that can be optimized, and the direction of optimization.
OBJECTIVES: dict[str, Direction] = {
    "f1": "maximize",
    "macro_f1": "maximize",
    "balanced_accuracy": "maximize",
    "roc_auc": "maximize",
    "average_precision": "maximize",
    "mcc": "maximize",
    "brier": "minimize",
}
#: Names of the user attributes of a trial.
RUN_ID, REFUSED, REASON = "mlflow_run", "refused", "reason"
#: Number of refused proposals per requested trial after which the search fails.
_MOST_REFUSALS = 20


@dataclass(frozen=True)
class Search:
    """Parameters of a search."""

    #: Name of the backend whose settings are tuned.
    backend: str
    #: Experiment file or name of a shipped experiment; None is an experiment on the data of
    #: ``overrides``.
    source: str | Experiment | None
    #: Values that replace those of the experiment, by dotted key.
    overrides: Mapping[str, Any]
    #: Number of trials that train, including those of an interrupted search.
    trials: int
    #: Values to try, by dotted key; if empty, the default space of the backend is used.
    space: Space
    #: Score to optimize, one of ``OBJECTIVES``.
    objective: str = "f1"
    #: Number of trials in parallel, each with all its workers.
    jobs: int = 1
    #: If True, stop a trial whose validation loss is worse than the median.
    prune: bool = True
    #: Name of the study in its file; if empty, it is derived from experiment and backend.
    study: str = ""

    def experiment(self, values: Mapping[str, Any]) -> Experiment:
        """Return the experiment with ``values`` set."""
        return load(self.source, {**self.overrides, **values, "backends": [self.backend]})


@dataclass(frozen=True)
class Found:
    """Result of a completed search."""

    study: "Study"
    search: Search
    #: ID of the parent run of the trials.
    run_id: str
    #: Prepared experiment, with the recorder of the parent run.
    prepared: PreparedExperiment

    @property
    def best(self) -> Experiment:
        """The experiment with the best settings.

        Raises
        ------
        ExperimentError
            If no trial was completed.
        """
        if not _complete(self.study):
            raise ExperimentError("no trial was completed; the reasons are recorded in MLflow")
        return self.search.experiment(self.study.best_trial.params)


@private_files()
def run_search(
    search: Search,
    *,
    work: Path,
    observer: Observer | None = None,
    resume: bool = False,
    on_trial: "Callable[[FrozenTrial], None]" = lambda _: None,
    shown: SearchObserver | None = None,
) -> Found:
    """Run trials until ``search.trials`` have trained; no test image is read.

    The first trial uses the experiment's own settings.

    Parameters
    ----------
    search
        Parameters of the search.
    work
        Folder for prepared data and for ``tuning.db`` with the studies.
    observer
        Called while the data are prepared.
    resume
        If True, resume the study of the same name.
    on_trial
        Called with each trial that has ended.
    shown
        Called while trials run.

    Raises
    ------
    ExperimentError, DataError, BackendError
        If the request is invalid.
    KeyboardInterrupt
        If the user interrupts the search; trials in progress are first closed as KILLED.
    """
    if search.objective not in OBJECTIVES:
        raise ExperimentError(
            f"unknown objective '{search.objective}' (objectives: {', '.join(OBJECTIVES)})"
        )
    experiment = search.experiment({})
    if len(experiment.seeds) > 1:
        raise ExperimentError("a search trains with one seed: give --seed once")
    check_study_file(work / "tuning.db")
    observer = observer or Observer()
    (name,) = experiment.backends
    backend = create(name)
    space = search.space or default_space(experiment, backend)
    search = replace(search, backend=name, space=space)
    _check_space(search, backend)
    try:
        ready = prepare_experiment(experiment, work, observer, f"{experiment.name}-tuning")
    finally:
        observer.ends()
    # Settings derived from the data are already set, so that trials need not read the data again.
    experiment = ready.experiment
    search = replace(search, source=experiment)
    shown = shown or SearchObserver()
    shown.waits("opening the study")
    recorder, name = ready.recorder, search.study or f"{experiment.name}-{search.backend}"
    study = open_study(
        work / "tuning.db",
        name,
        _key(search, experiment, ready),
        OBJECTIVES[search.objective],
        seed=experiment.seeds[0],
        prune=search.prune,
        jobs=search.jobs,
        resume=resume,
        open_record=lambda: recorder.open(f"tuning-{name}", _params(search), {"tuning": name}),
    )
    enqueue_own(study, own_settings(experiment, backend, search.space))
    run_id = str(study.user_attrs[PARENT_RUN])
    recorder.reopen(run_id)
    status, reason = KILLED, "interrupted by the user"
    try:
        _Trials(search, ready, study, run_id, on_trial, shown).run()
        status, reason = FINISHED, ""
    except Exception as error:
        status, reason = FAILED, f"{type(error).__name__}: {error}"
        raise
    except BaseException as ended:
        ended.add_note("the search and its trials in progress are recorded as KILLED")
        raise
    finally:
        on_wait = observer.record_waits
        with undisturbed():
            close_run(recorder, run_id, status, reason, ready.outbox, on_wait)
    return Found(study, search, run_id, ready)


def _check_space(search: Search, backend: Backend) -> None:
    """Reject invalid values of the space, each in combination with the experiment's settings."""
    for key, values in search.space.items():
        for value in (values.low, values.high) if isinstance(values, Range) else values.values:
            experiment = search.experiment({key: Given(f"--search {key}", value)})
            check_options(experiment, {backend.name: backend})


class _Trials:
    """Runs ``jobs`` trials in parallel until enough have trained."""

    def __init__(
        self,
        search: Search,
        ready: PreparedExperiment,
        study: "Study",
        run_id: str,
        on_trial: "Callable[[FrozenTrial], None]",
        shown: SearchObserver,
    ) -> None:
        self.search, self.study, self.run_id, self.on_trial = search, study, run_id, on_trial
        self.shown = shown
        self.backend = ready.backends[search.backend]
        self.data = ready.data.without_test()
        self.recorder, self.outbox = ready.recorder, ready.outbox
        self.interrupted = threading.Event()
        #: Held while a trial is requested: Optuna's database storage may give a waiting trial to
        #: two threads that request one at the same time.
        self.asking = threading.Lock()
        self.refusals = 0

    def run(self) -> None:
        """Run trials in threads; each thread supervises the processes of one trial."""
        images, validation = (self.data.rows(split) for split in ("train", "validation"))
        self.shown.search_starts(max(0, self._missing()), images, validation)
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self.search.jobs, "trial") as pool:
            try:
                while True:
                    while len(running) < min(self.search.jobs, self._missing()):
                        running.add(pool.submit(self._try))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for trial in done:
                        trial.result()
            except BaseException:
                self.interrupted.set()
                raise

    def _missing(self) -> int:
        """Return the number of trials that have not ended, including those in progress."""
        from optuna.trial import TrialState

        ended = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state is not TrialState.WAITING
            and trial.state is not TrialState.RUNNING
            and not trial.user_attrs.get(REFUSED)
            and REASON in trial.user_attrs
        ]
        return self.search.trials - len(ended)

    def _try(self) -> None:
        from optuna.trial import TrialState

        with self.asking:
            trial = self.study.ask()
        maximizes = OBJECTIVES[self.search.objective] == "maximize"
        watching = TrialObserver(trial, self.interrupted, self.shown, maximizes=maximizes)
        self.shown.trial_starts(trial.number, own=is_own(trial))
        try:
            record = self._train(trial, watching)
        except BaseException as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}"[:2000])
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        if self.interrupted.is_set() and record.status == KILLED and not watching.pruned:
            self.study.tell(trial, state=TrialState.FAIL)
            enqueue_again(self.study, trial)
            return
        for name, known in (
            (RUN_ID, record.run_id),
            (REFUSED, record.refused),
            (REASON, record.reason),
        ):
            trial.set_user_attr(name, known)
        value = record.metrics.get(f"validation.{self.search.objective}")
        if record.refused or watching.pruned:
            frozen = self.study.tell(trial, state=TrialState.PRUNED)
        elif record.status != FINISHED or value is None:
            frozen = self.study.tell(trial, state=TrialState.FAIL)
        else:
            frozen = self.study.tell(trial, value)
        self.shown.trial_ends(frozen)
        self.on_trial(frozen)
        if record.refused:
            self._count_refusal(record.reason)

    def _train(self, trial: Any, watching: Observer) -> RunRecord:
        space = space_of(trial, self.search.space)
        experiment = self.search.experiment(suggest(trial, space))
        plan = RunPlan(
            experiment=experiment,
            backend=self.search.backend,
            seed=experiment.seeds[0],
            evaluation_split="validation",
        )
        run = SingleRun(
            plan,
            self.backend,
            self.data,
            self.recorder,
            watching,
            self.run_id,
            outbox=self.outbox,
            name=f"trial-{trial.number}",
            tags={"tuning.trial": str(trial.number)},
        )
        return run.run()

    def _count_refusal(self, reason: str) -> None:
        self.refusals += 1
        if self.refusals > _MOST_REFUSALS * self.search.trials:
            raise ExperimentError(
                f"{self.search.backend} has refused too many of the proposed settings: {reason}"
            )


def _complete(study: "Study") -> bool:
    from optuna.trial import TrialState

    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _key(search: Search, experiment: Experiment, ready: PreparedExperiment) -> str:
    """Return a digest of all that determines a trial's score, except the number of trials."""
    content = {
        "experiment": comparison_key(experiment, ready.data),
        "seed": experiment.seeds[0],
        "backend": search.backend,
        "objective": search.objective,
        **_params(search),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _params(search: Search) -> dict[str, str]:
    return {
        "backend": search.backend,
        "objective": search.objective,
        **{f"search.{key}": str(values) for key, values in search.space.items()},
    }
