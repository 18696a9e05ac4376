"""Optuna studies in a SQLite file: creation, resumption and repair after an abrupt end."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.store_address import sqlite_uri
from experiments.errors import ExperimentError
from experiments.tracking import sqlite_file
from experiments.tuning.own_settings import enqueue_again

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

Direction = Literal["maximize", "minimize"]
#: Names of the user attributes of a study.
KEY, PARENT_RUN = "key", "mlflow_run"
#: Number of trials before any is pruned, and the first epoch after which one is pruned.
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
    """Open or create the study ``name`` in the file ``path``.

    Parameters
    ----------
    path
        SQLite file; created if it does not exist.
    name
        Name of the study.
    key
        Digest of all that determines the result of a trial; a study is resumed only with the same
        digest.
    direction
        Direction of optimization.
    seed
        Seed of the sampler.
    prune
        If True, prune trials by the median of earlier ones.
    jobs
        Number of trials in parallel.
    resume
        If True, an existing study is resumed.
    open_record
        Called for a new study; returns the ID of its MLflow run.

    Raises
    ------
    ExperimentError
        If the study exists and ``resume`` is False, or its digest differs.
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
            f"{path} already contains a study '{name}': resume it with --resume, or name another "
            "with --study"
        )
    trials = len(optuna.load_study(study_name=name, storage=storage).trials) if there else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # With the same seed, the sampler of a resumed study would propose the first trials again.
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
            f"the study '{name}' in {path} has other data, settings or values to try: name another "
            "with --study"
        )
    _repeat_unfinished(study)
    return study


def check_study_file(path: Path) -> None:
    """Check, without importing Optuna, that ``path`` can contain studies.

    Raises
    ------
    ExperimentError
        If the file exists and is not a database of Optuna.
    """
    names = sqlite_file.tables(path)
    if names and "studies" not in names and "version_info" not in names:
        raise ExperimentError(f"{path} is a database of another program: name another --work")


def _storage(path: Path) -> "RDBStorage":
    """Open the file and create missing tables, under a lock against concurrent processes."""
    import optuna

    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite_file.locked(path):
        return optuna.storages.RDBStorage(sqlite_uri(path))


def _is_half_made(study: "Study") -> bool:
    """Return whether the creation of ``study`` was interrupted."""
    return PARENT_RUN not in study.user_attrs and not study.get_trials(deepcopy=False)


def _repeat_unfinished(study: "Study") -> None:
    """Close trials that were in progress when their process ended, and enqueue them again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        enqueue_again(study, trial)
