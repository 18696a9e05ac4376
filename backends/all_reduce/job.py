"""Job of the workers of all-reduce training, independent of the library that they train with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from backends.all_reduce.channel import Address
from backends.base import TrainingTask
from backends.checkpoints import Checkpoint
from backends.epoch import Epoch
from data.shards import Shard, ShardReader

#: Function that returns the batches of a worker in an epoch, which is numbered from 1: pixels,
#: uint8 (n, h, w, c), and labels, int32 (n,).
Source = Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class WorkerJob:
    """Job that every worker receives; picklable, without pixels."""

    task: TrainingTask
    #: Training images by worker.
    shards: tuple[Shard, ...]
    #: Validation images by worker; the last workers may have none.
    validation: tuple[Shard, ...]
    #: Steps of an epoch, the same for all workers: a worker with an extra step would wait forever.
    steps: int
    #: Number of epochs without a lower validation loss after which training stops, or None.
    patience: int | None
    #: Address of the driver.
    address: Address
    #: Checkpoint from which to resume, or None to start at the beginning.
    start: Checkpoint | None = None
    #: True to send the state to the driver after each epoch.
    keeps: bool = False

    @property
    def first_epoch(self) -> int:
        """Number of the first epoch to train."""
        return self.start.epoch + 1 if self.start else 1

    def has_stopped(self, epochs: Sequence[Epoch]) -> bool:
        """Return whether training stops early after ``epochs``."""
        if not self.patience or (best := best_of(epochs)) is None:
            return False
        return epochs[-1].number - best.number >= self.patience


def best_of(epochs: Sequence[Epoch]) -> Epoch | None:
    """Return the first epoch with the lowest validation loss, or None without validation."""
    known = [epoch for epoch in epochs if epoch.validation_loss is not None]
    return min(known, key=lambda epoch: epoch.validation_loss or 0.0, default=None)


def shard_source(job: WorkerJob, rank: int) -> Source:
    """Return a source of batches that reads the shard of worker ``rank`` from Parquet."""
    task = job.task
    reader = ShardReader(job.shards[rank])

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        whole = reader.batches(
            task.worker_batch_size,
            seed=task.seed,
            epoch=epoch,
            shuffle=task.shuffle,
            drop_remainder=True,
        )
        return islice(whole, job.steps)

    return batches
