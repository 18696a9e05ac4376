"""The study in its SQLite file: made, found again, and mended after an end without warning."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments.errors import ExperimentError
from experiments.store_address import sqlite_uri
from experiments.tracking import sqlite_file
from experiments.tuning.own_settings import enqueue_again

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

Direction = Literal["maximize", "minimize"]
#: Attributes of a study.
KEY, PARENT_RUN = "key", "mlflow_run"
#: Trials that are made before one is pruned, and the earliest epoch of its end.
_STARTUP_TRIALS, _FIRST_PRUNED_EPOCH = 4, 2


def open_study(
    path: Path,
    name: str,
    key: str,
    direction: Direction,
    *,
    seed: int,
    prune: bool,
    jobs: int,
    resume: bool,
    open_record: Callable[[], str],
) -> "Study":
    """Return the study ``name`` of the file ``path``.

    Parameters
    ----------
    key
        Digest of all that decides what a trial gives; a study is resumed with the same one only.
    open_record
        Called for a new study; returns the id of its MLflow run.

    Raises
    ------
    ExperimentError
        When the study is there and shall not be resumed, or is about something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    path = path.absolute()
    storage = _storage(path)
    there = name in optuna.get_all_study_names(storage)
    if there and _is_half_made(optuna.load_study(study_name=name, storage=storage)):
        optuna.delete_study(study_name=name, storage=storage)
        there = False
    if there and not resume:
        raise ExperimentError(
            f"{path} holds a study '{name}': go on with --resume, or name another with --study"
        )
    trials = len(optuna.load_study(study_name=name, storage=storage).trials) if there else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A sampler that starts anew would propose the first trials again.
        sampler = optuna.samplers.TPESampler(seed=seed + trials, constant_liar=jobs > 1)
    pruner = (
        optuna.pruners.MedianPruner(_STARTUP_TRIALS, _FIRST_PRUNED_EPOCH)
        if prune
        else optuna.pruners.NopPruner()
    )
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=direction,
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )
    if not there:
        study.set_user_attr(KEY, key)
        study.set_user_attr(PARENT_RUN, open_record())
    elif study.user_attrs.get(KEY) != key:
        raise ExperimentError(
            f"the study '{name}' in {path} is about other data, settings or values to try: name "
            "another with --study"
        )
    _repeat_unfinished(study)
    return study


def check_study_file(path: Path) -> None:
    """Find out in no time whether ``path`` can hold studies.

    Raises
    ------
    ExperimentError
        When it is something else than a database of Optuna's, or nothing.
    """
    names = sqlite_file.tables(path)
    if names and "studies" not in names and "version_info" not in names:
        raise ExperimentError(f"{path} is a database of another program: name another --work")


def _storage(path: Path) -> "RDBStorage":
    """Open the file, and make its tables if they are not all there: two processes may be at it."""
    import optuna

    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite_file.locked(path):
        return optuna.storages.RDBStorage(sqlite_uri(path))


def _is_half_made(study: "Study") -> bool:
    """Tell whether the process that made ``study`` was stopped before it was whole."""
    return PARENT_RUN not in study.user_attrs and not study.get_trials(deepcopy=False)


def _repeat_unfinished(study: "Study") -> None:
    """Close trials that were under way when their process ended, and try the same again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        enqueue_again(study, trial)
