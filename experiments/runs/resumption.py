"""Where a run keeps its checkpoints, and whose turn it is to use them."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backends.checkpoints import CheckpointFolder
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.runs.comparison_run import comparison_key

_FOLDER = "checkpoints"
_LOCK = "lock"


def run_key(plan: RunPlan, data: PreparedData) -> str:
    """Return a digest of all that decides what a run gives."""
    parts = (comparison_key(plan.experiment, data), plan.backend, plan.seed, plan.evaluation_split)
    content = " ".join(map(str, parts))
    return hashlib.sha256(content.encode()).hexdigest()


@contextmanager
def checkpoints(work: Path, key: str, *, resume: bool) -> Iterator[Path | None]:
    """Yield the folder for the checkpoints of the run ``key``, for this process alone.

    Without ``resume`` it is empty. Two processes may make the same run at a time: the second one
    gets None, and keeps nothing.

    Raises
    ------
    ExperimentError
        With ``resume``, when the run is under way in another process.
    """
    folder = work / _FOLDER / key[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if resume:
                raise ExperimentError(
                    "this run is under way in another process: wait for its end, or leave "
                    "--resume out"
                ) from None
            yield None
            return
        if not resume:
            CheckpointFolder(folder).clear()
        yield folder


def forget(folder: Path | None) -> None:
    """Remove the checkpoints of a run that has finished."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
