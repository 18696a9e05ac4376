"""Training loop of a worker in synchronous all-reduce, independent of the framework that starts it.

The loop uses ``MultiWorkerMirroredStrategy`` with a Keras 3 model. It is a custom loop because
``Model.fit`` of Keras 3 does not work with that strategy. Keras's optimizer sums the gradients over
all workers, so each worker divides its loss by the global batch size.

TensorFlow's servers, one in each worker, require no password. On a single machine they are closed
to other machines; otherwise run the executors in a private network.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from backends.all_reduce.channel import LINK_LIMIT, Address, WorkerEnd
from backends.all_reduce.network import private_network
from backends.base import TrainingTask
from backends.checkpoints import Checkpoint
from backends.epoch import Epoch
from backends.inference import BATCH, EPSILON
from backends.keras_state import OPTIMIZER, RANDOM, assign, generators, values_of
from data.shards import Shard, ShardReader
from models import checksum, loss, optimizer

if TYPE_CHECKING:
    import tensorflow as tf

#: Seconds that a worker waits for the others in a collective operation. This limit is for workers
#: that hang; a worker that dies is detected immediately through its connection to the driver.
COLLECTIVE_LIMIT = 120.0
#: Seconds without a heartbeat of a worker after which TensorFlow aborts all workers. The default of
#: ten seconds is as short as a network outage may be. The limit exceeds ``LINK_LIMIT`` so that the
#: driver first detects which host has failed.
HEARTBEAT_LIMIT = LINK_LIMIT + 15
#: Minimum number of seconds between two progress messages within an epoch.
_PROGRESS_INTERVAL = 0.25
#: Set once this process has been a worker. TensorFlow can form collectives only once per process;
#: a second attempt fails and leaves the other workers waiting.
_used = Event()

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


def train(job: WorkerJob, rank: int, source: Callable[[WorkerJob, int], Source]) -> None:
    """Train as worker ``rank`` of the cluster that ``TF_CONFIG`` describes.

    Parameters
    ----------
    job
        Job, which is the same for all workers.
    rank
        Number of this worker; 0 is the chief.
    source
        Function that is called once with ``job`` and ``rank`` and returns the source of the batches
        of this worker.
    """
    with WorkerEnd(job.address, rank) as driver:
        if _used.is_set():
            raise RuntimeError(
                "this Python process has trained before, and TensorFlow can connect workers only "
                "once per process: to train several times in one Spark session, start the session "
                "with spark.python.worker.reuse=false"
            )
        _used.set()
        _Replica(job, rank, driver, source(job, rank)).run()


class _Replica:
    """Copy of the network on one worker, and its share of the training."""

    def __init__(self, job: WorkerJob, rank: int, driver: WorkerEnd, source: Source) -> None:
        import keras
        import tensorflow as tf

        self.job, self.task, self.rank, self.driver = job, job.task, rank, driver
        self.source = source
        keras.utils.set_random_seed(job.task.seed)
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING,
            timeout_seconds=COLLECTIVE_LIMIT,
        )
        _wait_for_heartbeats()
        with private_network():
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        found = self.strategy.num_replicas_in_sync
        if found != job.task.workers:
            raise RuntimeError(
                f"{found} workers are connected, not {job.task.workers}: "
                "check that TF_CONFIG is set and that each executor has one TensorFlow device"
            )
        with self.strategy.scope():
            self.model = job.task.build_model()
            self.optimizer = optimizer(job.task.optimizer)
            self.optimizer.build(self.model.trainable_variables)
        self._use_own_random_stream()
        self.validation = ShardReader(job.validation[rank]) if rank < len(job.validation) else None
        self.step, self.reduce, self.forward = self._traced()
        self.last_progress = 0.0
        #: True once the first batch has arrived.
        self.warm = False

    @property
    def images(self) -> int:
        """Number of images in an epoch, summed over all workers."""
        return self.job.steps * self.task.worker_batch_size * self.task.workers

    def run(self) -> None:
        """Train all epochs and report each to the driver."""
        weights = self.model.get_weights()
        self.driver.send(
            "initial",
            weights if self.rank == 0 else (),
            checksum=checksum(weights),
            statistics=len(self.model.non_trainable_weights),
        )
        epochs = list(self.job.start.epochs) if self.job.start else []
        best_weights = self._restore() if self.job.start else None
        # The sums are bitwise identical on all workers, so that all stop after the same epoch.
        while len(epochs) < self.task.epochs and not self.job.has_stopped(epochs):
            number = len(epochs) + 1
            mean_loss, seconds = self._train_epoch(number)
            self._average_statistics()
            epochs.append(Epoch(number, mean_loss, self._validation_loss(), self.images, seconds))
            if self.job.patience and best_of(epochs) is epochs[-1]:
                best_weights = self.model.get_weights()
            self._send_epoch(epochs)
            if self.job.keeps:
                self._send_state(number, best_weights)
        weights = best_weights or self.model.get_weights()
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
        self.model.set_weights(start.weights)
        assign(self.optimizer.variables, start.state[OPTIMIZER])
        assign(generators(self.model), start.state[f"{RANDOM}.{self.rank}"])
        return list(start.state["best"]) or None

    def _send_state(self, epoch: int, best_weights: list[np.ndarray] | None) -> None:
        """Send the state from which training can resume; only the chief sends the shared part."""
        parts = {f"{RANDOM}.{self.rank}": values_of(generators(self.model))}
        if self.rank == 0:
            parts |= {
                "weights": self.model.get_weights(),
                OPTIMIZER: [variable.numpy() for variable in self.optimizer.variables],
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
        batches = iter(self._prefetched(epoch))
        # Waiting for the very first batch (start of the reader or feed) does not count as training.
        ready = list(islice(batches, 0 if self.warm else 1))
        self.warm = True
        started = time.perf_counter()
        for pixels, labels in chain(ready, batches):
            own_sum += float(self.step(pixels, labels))
            steps += 1
            self._progress(epoch, steps, own_sum / (steps * size))
        if steps != self.job.steps:
            raise RuntimeError(f"the data ended after {steps} of {self.job.steps} batches")
        seconds = time.perf_counter() - started
        return self._total(own_sum)[0] / self.images, seconds

    def _prefetched(self, epoch: int) -> "tf.data.Dataset":
        """Return the batches of one epoch as a data set that prefetches during a step."""
        import tensorflow as tf

        size = self.task.worker_batch_size
        signature = (
            tf.TensorSpec((size, *self.task.data.image_shape), self.task.data.dtype),
            tf.TensorSpec((size,), tf.int32),
        )
        batches = tf.data.Dataset.from_generator(
            lambda: self.source(epoch), output_signature=signature
        )
        return batches.prefetch(2)

    def _traced(self) -> tuple[Callable, Callable, Callable]:
        """Return traced functions: the training step, the sum over workers and the forward pass."""
        import keras
        import tensorflow as tf

        loss_function = keras.losses.get(loss(self.task.loss_weights))
        if isinstance(loss_function, keras.losses.Loss):
            loss_function.reduction = None  # the default is the mean over the worker's images
        strategy, model, global_batch_size = self.strategy, self.model, self.task.global_batch_size

        def replica_step(pixels: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
            with tf.GradientTape() as tape:
                probabilities = model(tf.cast(pixels, tf.float32), training=True)
                total = tf.reduce_sum(loss_function(labels, probabilities))
                share = total / global_batch_size
            variables = model.trainable_variables
            self.optimizer.apply_gradients(
                zip(tape.gradient(share, variables), variables, strict=True)
            )
            return total

        image_shape, dtype = self.task.data.image_shape, self.task.data.dtype
        size = self.task.worker_batch_size
        labels = tf.TensorSpec((size,), tf.int32)

        @tf.function(
            input_signature=[tf.TensorSpec((size, *image_shape), dtype), labels],
            autograph=False,
        )
        def step(pixels: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
            return strategy.run(replica_step, args=(pixels, labels))

        @tf.function(autograph=False)
        def reduce(values: list["tf.Tensor"]) -> list["tf.Tensor"]:
            def sum_over_workers(inner: list["tf.Tensor"]) -> list["tf.Tensor"]:
                context = tf.distribute.get_replica_context()
                # Arguments have no device yet, but the strategy requires one.
                placed = [tf.identity(value) for value in inner]
                return context.all_reduce(tf.distribute.ReduceOp.SUM, placed)

            return strategy.run(sum_over_workers, args=(values,))

        @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), dtype)], autograph=False)
        def forward(pixels: "tf.Tensor") -> "tf.Tensor":
            return model(tf.cast(pixels, tf.float32), training=False)

        step.get_concrete_function()  # traced here so that the first epoch is timed without tracing
        return step, reduce, forward

    def _use_own_random_stream(self) -> None:
        """Give each worker its own random numbers for dropout and augmentation.

        All variables are initialized with the values of the chief, including the states of random
        generators. Those of the chief are not changed, so that it draws as a single process does.
        """
        for variable in generators(self.model):
            state = variable.numpy()
            state[0] += self.rank
            variable.assign(state)

    def _average_statistics(self) -> None:
        """Replace the moving averages of batch normalization by their mean over all workers.

        The averages are linear in the contribution of each batch, so averaging them after an epoch
        gives the same result as averaging them at every step.
        """
        variables = self.model.non_trainable_weights
        if variables:
            sums = self.reduce([variable.numpy() for variable in variables])
            for variable, total in zip(variables, sums, strict=True):
                variable.assign(total / self.task.workers)

    def _validation_loss(self) -> float | None:
        """Return the mean cross-entropy over the validation images of all workers, in nats."""
        loss, count = 0.0, 0
        if self.validation is not None:
            blocks = self.validation.batches(BATCH, seed=0, epoch=0, shuffle=False)
            for pixels, labels in blocks:
                probabilities = self.forward(pixels).numpy()
                chosen = probabilities[np.arange(len(labels)), labels]
                loss -= float(np.log(np.clip(chosen, EPSILON, 1)).sum())
                count += len(labels)
                self._progress(0, 0, 0.0)
        loss, images = self._total(loss, count)
        return loss / images if images else None

    def _total(self, *values: float) -> list[float]:
        """Return the sum of each value over all workers."""
        return [float(total) for total in self.reduce([np.array(values, np.float32)])[0]]

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


def _wait_for_heartbeats() -> None:
    """Set the heartbeat timeout of TensorFlow's coordination service to ``HEARTBEAT_LIMIT``.

    The strategy configures this service, but has no option for the timeout (TensorFlow 2.19).
    """
    from tensorflow.python.eager.context import context

    context().configure_coordination_service = partial(
        context().configure_coordination_service, heartbeat_timeout_in_ms=HEARTBEAT_LIMIT * 1000
    )
