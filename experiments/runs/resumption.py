"""The folder with the checkpoints of a run, locked against use by other processes."""

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
    """Return a digest of everything that determines the result of a run."""
    parts = (comparison_key(plan.experiment, data), plan.backend, plan.seed, plan.evaluation_split)
    content = " ".join(map(str, parts))
    return hashlib.sha256(content.encode()).hexdigest()


@contextmanager
def checkpoints(work: Path, key: str, *, resume: bool) -> Iterator[Path | None]:
    """Yield the folder for the checkpoints of the run ``key``, locked for this process.

    Without ``resume`` it is empty. If another process is executing the same run, None is yielded
    and this process saves no checkpoints.

    Raises
    ------
    ExperimentError
        With ``resume``, if the run is under way in another process.
    """
    folder = work / _FOLDER / key[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if resume:
                raise ExperimentError(
                    "this run is under way in another process: wait until it ends, or omit --resume"
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
