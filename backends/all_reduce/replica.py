"""Training loop of a worker in synchronous all-reduce, shared by all libraries.

A worker trains its copy of the network on its shard. Each step uses the gradient of the mean loss
over the images of all workers, so all copies remain equal. Everything that depends on the library,
such as the step itself, is implemented by a subclass.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from backends.all_reduce.channel import WorkerEnd
from backends.all_reduce.job import Source, WorkerJob, best_of
from backends.epoch import Epoch
from backends.inference import BATCH, EPSILON
from backends.keras_state import OPTIMIZER, RANDOM
from data.shards import ShardReader
from models import checksum

#: Seconds that a worker waits for the others in a collective operation. This limit is for workers
#: that hang; a worker that dies is detected immediately through its connection to the driver.
COLLECTIVE_LIMIT = 120.0
#: Minimum number of seconds between two progress messages within an epoch.
_PROGRESS_INTERVAL = 0.25


class PeerError(ConnectionError):
    """Raised if a collective operation fails because of another worker."""


class Replica(ABC):
    """Copy of the network on one worker, and its share of the training.

    Parameters
    ----------
    job
        Job, which is the same for all workers.
    rank
        Number of this worker; 0 is the chief.
    driver
        Connection to the driver.
    source
        Source of the batches of this worker.
    """

    def __init__(self, job: WorkerJob, rank: int, driver: WorkerEnd, source: Source) -> None:
        self.job, self.task, self.rank, self.driver = job, job.task, rank, driver
        self.source = source
        self.validation = ShardReader(job.validation[rank]) if rank < len(job.validation) else None
        self.last_progress = 0.0
        #: True once the first batch has arrived.
        self.warm = False

    @abstractmethod
    def batches(self, epoch: int) -> Iterable[tuple[Any, Any]]:
        """Return the batches of one epoch for :meth:`step`, read ahead during a step."""

    @abstractmethod
    def step(self, pixels: Any, labels: Any) -> float:
        """Train on a batch and return the sum of the losses of its images, in nats.

        All workers must call this method at the same time.
        """

    @abstractmethod
    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities, shape (n, classes), of pixels (n, h, w, c)."""

    @abstractmethod
    def sum_over_workers(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sum of each array over all workers, bitwise identical on all of them.

        All workers must call this method at the same time, with arrays of the same shapes.
        """

    @abstractmethod
    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the weights in the order of ``keras.Model.get_weights()``, float32.

        They are equal on all workers after each step.
        """

    @abstractmethod
    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights, given in the order of ``keras.Model.get_weights()``."""

    @abstractmethod
    def optimizer_state(self) -> list[np.ndarray]:
        """Return the state of the optimizer, which is equal on all workers."""

    @abstractmethod
    def set_optimizer_state(self, values: Sequence[np.ndarray]) -> None:
        """Restore a state that :meth:`optimizer_state` returned."""

    def random_state(self) -> list[np.ndarray]:
        """Return the state of the random generators of this worker."""
        return []

    def set_random_state(self, values: Sequence[np.ndarray]) -> None:
        """Restore a state that :meth:`random_state` returned."""

    def use_own_random_stream(self) -> None:
        """Give each worker its own random numbers for dropout and augmentation."""

    def average_statistics(self) -> None:
        """Replace the weights that are not trained by their mean over all workers."""

    @property
    def statistics(self) -> int:
        """Number of arrays of the weights that are not trained, such as moving averages."""
        return 0

    @property
    def images(self) -> int:
        """Number of images in an epoch, summed over all workers."""
        return self.job.steps * self.task.worker_batch_size * self.task.workers

    def run(self) -> None:
        """Train all epochs and report each to the driver."""
        self.use_own_random_stream()
        weights = self.get_weights()
        self.driver.send(
            "initial",
            weights if self.rank == 0 else (),
            checksum=checksum(weights),
            statistics=self.statistics,
        )
        epochs = list(self.job.start.epochs) if self.job.start else []
        best_weights = self._restore() if self.job.start else None
        # The sums are bitwise identical on all workers, so that all stop after the same epoch.
        while len(epochs) < self.task.epochs and not self.job.has_stopped(epochs):
            number = len(epochs) + 1
            mean_loss, seconds = self._train_epoch(number)
            self.average_statistics()
            epochs.append(Epoch(number, mean_loss, self._validation_loss(), self.images, seconds))
            if self.job.patience and best_of(epochs) is epochs[-1]:
                best_weights = self.get_weights()
            self._send_epoch(epochs)
            if self.job.keeps:
                self._send_state(number, best_weights)
        weights = best_weights or self.get_weights()
        best = best_of(epochs)
        self.driver.send(
            "weights",
            weights if self.rank == 0 else (),
            checksum=checksum(weights),
            best_epoch=best.number if best and best_weights else None,
        )

    def _restore(self) -> list[np.ndarray] | None:
        """Resume from the checkpoint of the job.

        Return the best weights so far if early stopping needs them, otherwise None.
        """
        start = self.job.start
        assert start is not None
        self.set_weights(start.weights)
        self.set_optimizer_state(start.state[OPTIMIZER])
        self.set_random_state(start.state[f"{RANDOM}.{self.rank}"])
        return list(start.state["best"]) or None

    def _send_state(self, epoch: int, best_weights: list[np.ndarray] | None) -> None:
        """Send the state from which training can resume; only the chief sends the shared part."""
        parts = {f"{RANDOM}.{self.rank}": self.random_state()}
        if self.rank == 0:
            parts |= {
                "weights": self.get_weights(),
                OPTIMIZER: self.optimizer_state(),
                "best": best_weights or [],
            }
        self.driver.send(
            "state",
            list(chain.from_iterable(parts.values())),
            epoch=epoch,
            lengths={name: len(values) for name, values in parts.items()},
        )

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """Return the mean loss over the images of all workers, and the duration in seconds."""
        size = self.task.worker_batch_size
        own_sum, steps = 0.0, 0
        batches = iter(self.batches(epoch))
        # Waiting for the very first batch (start of the reader or feed) does not count as training.
        ready = list(islice(batches, 0 if self.warm else 1))
        self.warm = True
        started = time.perf_counter()
        for pixels, labels in chain(ready, batches):
            own_sum += self.step(pixels, labels)
            steps += 1
            self._progress(epoch, steps, own_sum / (steps * size))
        if steps != self.job.steps:
            raise RuntimeError(f"the data ended after {steps} of {self.job.steps} batches")
        seconds = time.perf_counter() - started
        return self._total(own_sum)[0] / self.images, seconds

    def _validation_loss(self) -> float | None:
        """Return the mean cross-entropy over the validation images of all workers, in nats."""
        loss, count = 0.0, 0
        if self.validation is not None:
            blocks = self.validation.batches(BATCH, seed=0, epoch=0, shuffle=False)
            for pixels, labels in blocks:
                probabilities = self.forward(pixels)
                chosen = probabilities[np.arange(len(labels)), labels]
                loss -= float(np.log(np.clip(chosen, EPSILON, 1)).sum())
                count += len(labels)
                self._progress(0, 0, 0.0)
        loss, images = self._total(loss, count)
        return loss / images if images else None

    def _total(self, *values: float) -> list[float]:
        """Return the sum of each value over all workers."""
        (sums,) = self.sum_over_workers([np.array(values, np.float32)])
        return [float(total) for total in sums]

    def _send_epoch(self, epochs: Sequence[Epoch]) -> None:
        if self.rank == 0:
            self.driver.send("epoch", **vars(epochs[-1]))

    def _progress(self, epoch: int, steps: int, loss: float) -> None:
        """Send a progress message if ``_PROGRESS_INTERVAL`` has passed since the last one.

        During validation ``steps`` is 0, and the message only shows that the worker is alive.
        """
        now = time.monotonic()
        if now - self.last_progress >= _PROGRESS_INTERVAL:
            self.last_progress = now
            images = steps * self.task.global_batch_size
            self.driver.send("progress", epoch=epoch, images=images, loss=loss)
