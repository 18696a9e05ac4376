"""Notes of a result that several backends have in common."""

from collections.abc import Sequence

from backends.base import TrainingTask


def left_out(task: TrainingTask, rows: Sequence[int], steps: int) -> list[str]:
    """Return a note on the images that do not fill a batch on every worker; empty without any.

    Parameters
    ----------
    task
        Task that was trained.
    rows
        Number of training images of each worker.
    steps
        Steps of an epoch, the same for all workers.
    """
    omitted = sum(rows) - steps * task.worker_batch_size * task.workers
    if not omitted:
        return []
    return [
        f"{omitted} of {sum(rows)} training images are left out of each epoch"
        f"{', different ones each time' if task.shuffle else ''}: workers have {min(rows)} to "
        f"{max(rows)} images and use {steps} full batches of {task.worker_batch_size}."
    ]
