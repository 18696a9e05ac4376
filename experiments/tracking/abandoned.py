"""Cleanup after processes that died: runs with the status RUNNING, and temporary folders."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from data.own_folders import remove_abandoned, remove_abandoned_temporary
from experiments.records import KILLED
from experiments.tracking.process_mark import State, machine, state_of
from experiments.tracking.recorder import LEFT_OPEN, PROCESS, check_reachable, client_of, close

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Maximum number of experiments and of runs that are checked: MLflow's limit for one page.
_PAGE = 1000
_log = logging.getLogger(__name__)


def tidy(uri: str, *folders: Path) -> list[str]:
    """Close the runs of the store ``uri`` whose process has died, and remove its unfinished files.

    Only runs that this user started on this machine and in this container are considered.

    Parameters
    ----------
    uri
        Address of the store. A store that cannot be written to is not changed.
    folders
        Folders that may contain unfinished files, in addition to those for temporary files.

    Returns
    -------
    list of str
        One message for the user for each closed run.
    """
    remove_abandoned_temporary()
    remove_abandoned(*folders)
    try:
        check_reachable(uri, reading=True)
        closed = close_abandoned(client_of(uri))
    except Exception as error:  # the calling command reports problems of the store itself
        _log.debug("%s: %s", uri, error)
        return []
    return [f"{name}: its process has died; the run was closed as KILLED" for name in closed]


def close_abandoned(client: "MlflowClient") -> list[str]:
    """Close the runs with the status RUNNING whose process has died, and return their names."""
    closed = []
    for run in _running(client):
        if state_of(run.data.tags.get(PROCESS, "")) is State.DEAD:
            close(client, run.info.run_id, KILLED, LEFT_OPEN)
            closed.append(str(run.info.run_name))
    return closed


def _running(client: "MlflowClient") -> "list[Run]":
    """Return the runs with the status RUNNING that this user started on this machine."""
    experiments = client.search_experiments(max_results=_PAGE)
    condition = f"attributes.status = 'RUNNING' and tags.`{PROCESS}` LIKE '{machine()} %'"
    places = [experiment.experiment_id for experiment in experiments]
    return list(client.search_runs(places, condition, max_results=_PAGE)) if places else []
