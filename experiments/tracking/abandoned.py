"""Remains of processes that died: runs that seem to be under way, and folders."""

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

#: Most experiments and runs that are looked at; MLflow gives no more at a time.
_PAGE = 1000
_log = logging.getLogger(__name__)


def tidy(uri: str, *folders: Path) -> list[str]:
    """Close the runs of the store ``uri`` whose process has died, and remove what it has left.

    Only what this user has begun on this machine and in this container is judged.

    Parameters
    ----------
    folders
        Where unfinished files may be, beside those for temporary files.

    Returns
    -------
    list of str
        Sentences for the user. A store that cannot be written to is left as it is.
    """
    remove_abandoned_temporary()
    remove_abandoned(*folders)
    try:
        check_reachable(uri, reading=True)
        closed = close_abandoned(client_of(uri))
    except Exception as error:  # the command that asks says itself what is wrong with the store
        _log.debug("%s: %s", uri, error)
        return []
    return [f"{name}: its process has died, the run is closed as KILLED" for name in closed]


def close_abandoned(client: "MlflowClient") -> list[str]:
    """Close the runs that seem to run and whose process has died; return their names."""
    closed = []
    for run in _running(client):
        if state_of(run.data.tags.get(PROCESS, "")) is State.DEAD:
            close(client, run.info.run_id, KILLED, LEFT_OPEN)
            closed.append(str(run.info.run_name))
    return closed


def _running(client: "MlflowClient") -> "list[Run]":
    """Return the runs under way that processes of this machine and user have begun."""
    experiments = client.search_experiments(max_results=_PAGE)
    condition = f"attributes.status = 'RUNNING' and tags.`{PROCESS}` LIKE '{machine()} %'"
    places = [experiment.experiment_id for experiment in experiments]
    return list(client.search_runs(places, condition, max_results=_PAGE)) if places else []
