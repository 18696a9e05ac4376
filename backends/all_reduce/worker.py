"""What each worker of a synchronous all-reduce does, whichever framework has started it.

``MultiWorkerMirroredStrategy`` with a Keras 3 model and a loop of its own: ``Model.fit`` of
Keras 3 does not work under that strategy. Keras's optimiser sums the gradients over all workers,
so each worker divides its loss by the global batch.

TensorFlow's own servers, one in each worker, have no password: on one machine they are closed to
others, else keep executors in a private network.
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

#: Seconds that a worker waits in a collective operation for the others. A worker that dies is
#: noticed at once through its line to the driver; this is for one that hangs.
COLLECTIVE_LIMIT = 120.0
#: Seconds that a worker may be unheard before TensorFlow ends all of them. By default it waits ten,
#: which a network may be away for; and the driver shall see first which host is gone.
HEARTBEAT_LIMIT = LINK_LIMIT + 15
#: Seconds between two signs of life within an epoch.
_PROGRESS_INTERVAL = 0.25
#: Whether this process has been a worker: TensorFlow forms collectives once in a process, and a
#: second time fails here and leaves the other workers waiting.
_used = Event()

#: Batches of an epoch, counted from 1, of a worker: pixels uint8 (n, h, w, c), labels int32 (n,).
Source = Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class WorkerJob:
    """What every worker is given; picklable, without a pixel."""

    task: TrainingTask
    #: Training images by worker.
    shards: tuple[Shard, ...]
    #: Validation images by worker; the last workers may have none.
    validation: tuple[Shard, ...]
    #: Steps of an epoch, the same for all workers: a worker with one more would wait forever.
    steps: int
    #: Epochs without a better validation loss after which training stops, or None.
    patience: int | None
    #: Where the driver listens.
    address: Address
    #: What to go on from, or None to start at the beginning.
    start: Checkpoint | None = None
    #: Whether the driver is told the state after each epoch.
    keeps: bool = False

    @property
    def first_epoch(self) -> int:
        """Number of the first epoch to train."""
        return self.start.epoch + 1 if self.start else 1

    def has_stopped(self, epochs: Sequence[Epoch]) -> bool:
        """Whether training stops early after ``epochs``."""
        if not self.patience or (best := best_of(epochs)) is None:
            return False
        return epochs[-1].number - best.number >= self.patience


def best_of(epochs: Sequence[Epoch]) -> Epoch | None:
    """Return the first epoch with the smallest validation loss."""
    known = [epoch for epoch in epochs if epoch.validation_loss is not None]
    return min(known, key=lambda epoch: epoch.validation_loss or 0.0, default=None)


def shard_source(job: WorkerJob, rank: int) -> Source:
    """Return the batches of a worker's own shard, read from Parquet here."""
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
        The same for all workers.
    rank
        From 0, the chief.
    source
        Called once with ``job`` and ``rank`` for this worker's batches.
    """
    with WorkerEnd(job.address, rank) as driver:
        if _used.is_set():
            raise RuntimeError(
                "this Python process has trained before, and TensorFlow joins workers once in a "
                "process: for several trainings in one Spark session, start it with "
                "spark.python.worker.reuse=false"
            )
        _used.set()
        _Replica(job, rank, driver, source(job, rank)).run()


class _Replica:
    """One worker's copy of the network and its share of the work."""

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
                f"{found} workers found each other, not {job.task.workers}: "
                "is TF_CONFIG set, and does each executor have one TensorFlow device?"
            )
        with self.strategy.scope():
            self.model = job.task.build_model()
            self.optimizer = optimizer(job.task.optimizer)
            self.optimizer.build(self.model.trainable_variables)
        self._use_own_random_stream()
        self.validation = ShardReader(job.validation[rank]) if rank < len(job.validation) else None
        self.step, self.reduce, self.forward = self._traced()
        self.last_progress = 0.0
        #: Whether a batch has come already.
        self.warm = False

    @property
    def images(self) -> int:
        """Images of an epoch, over all workers."""
        return self.job.steps * self.task.worker_batch_size * self.task.workers

    def run(self) -> None:
        """Train all epochs, telling the driver of each."""
        weights = self.model.get_weights()
        self.driver.send(
            "initial",
            weights if self.rank == 0 else (),
            checksum=checksum(weights),
            statistics=len(self.model.non_trainable_weights),
        )
        epochs = list(self.job.start.epochs) if self.job.start else []
        best_weights = self._restore() if self.job.start else None
        # Every worker has the same sums before it, bit for bit, and so stops with the others.
        while len(epochs) < self.task.epochs and not self.job.has_stopped(epochs):
            number = len(epochs) + 1
            mean_loss, seconds = self._train_epoch(number)
            self._average_statistics()
            epochs.append(Epoch(number, mean_loss, self._validation_loss(), self.images, seconds))
            if self.job.patience and best_of(epochs) is epochs[-1]:
                best_weights = self.model.get_weights()
            self._tell_epoch(epochs)
            if self.job.keeps:
                self._tell_state(number, best_weights)
        weights = best_weights or self.model.get_weights()
        best = best_of(epochs)
        self.driver.send(
            "weights",
            weights if self.rank == 0 else (),
            checksum=checksum(weights),
            best_epoch=best.number if best and best_weights else None,
        )

    def _restore(self) -> list[np.ndarray] | None:
        """Go on from the job's checkpoint; return the best weights so far, where they count."""
        start = self.job.start
        assert start is not None
        self.model.set_weights(start.weights)
        assign(self.optimizer.variables, start.state[OPTIMIZER])
        assign(generators(self.model), start.state[f"{RANDOM}.{self.rank}"])
        return list(start.state["best"]) or None

    def _tell_state(self, epoch: int, best_weights: list[np.ndarray] | None) -> None:
        """Tell the driver what going on from here takes; the chief speaks for what all share."""
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
        """Return the mean loss over the images of all workers, and the seconds it took."""
        size = self.task.worker_batch_size
        own_sum, steps = 0.0, 0
        batches = iter(self._prefetched(epoch))
        # What the very first batch waits for, a cold reader or feed, is not training.
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
        """Return one epoch as a data set that prepares the next batches during a step."""
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
        """Return the training step, the sum over workers and the forward pass, traced once."""
        import keras
        import tensorflow as tf

        loss_function = keras.losses.get(loss(self.task.loss_weights))
        if isinstance(loss_function, keras.losses.Loss):
            loss_function.reduction = None  # else the mean over this worker's images
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
                # An argument has no device yet, which the strategy asks for.
                placed = [tf.identity(value) for value in inner]
                return context.all_reduce(tf.distribute.ReduceOp.SUM, placed)

            return strategy.run(sum_over_workers, args=(values,))

        @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), dtype)], autograph=False)
        def forward(pixels: "tf.Tensor") -> "tf.Tensor":
            return model(tf.cast(pixels, tf.float32), training=False)

        step.get_concrete_function()  # the first epoch is not timed with its tracing
        return step, reduce, forward

    def _use_own_random_stream(self) -> None:
        """Let each worker draw its own dropout and augmentation, the chief as one process would.

        Variables start as the chief's on all workers, the states of random generators too.
        """
        for variable in generators(self.model):
            state = variable.numpy()
            state[0] += self.rank
            variable.assign(state)

    def _average_statistics(self) -> None:
        """Give all workers the mean of their moving averages of batch normalisation.

        The averages are linear in what each batch adds, so their mean after an epoch is the mean
        that exchanging them at every step would give.
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

    def _tell_epoch(self, epochs: Sequence[Epoch]) -> None:
        if self.rank == 0:
            self.driver.send("epoch", **vars(epochs[-1]))

    def _progress(self, epoch: int, steps: int, loss: float) -> None:
        """Give a sign of life now and then; of training (``steps`` above 0) with figures."""
        now = time.monotonic()
        if now - self.last_progress >= _PROGRESS_INTERVAL:
            self.last_progress = now
            images = steps * self.task.global_batch_size
            self.driver.send("progress", epoch=epoch, images=images, loss=loss)


def _wait_for_heartbeats() -> None:
    """Let TensorFlow's coordination service be as patient as ``HEARTBEAT_LIMIT`` says.

    The strategy configures it and has no option for this (TensorFlow 2.19).
    """
    from tensorflow.python.eager.context import context

    context().configure_coordination_service = partial(
        context().configure_coordination_service, heartbeat_timeout_in_ms=HEARTBEAT_LIMIT * 1000
    )
