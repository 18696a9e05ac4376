"""Worker of synchronous all-reduce with TensorFlow, independent of the framework that starts it.

The worker uses ``MultiWorkerMirroredStrategy`` with a Keras 3 model. It has a loop of its own
because ``Model.fit`` of Keras 3 does not work with that strategy. Keras's optimizer sums the
gradients over all workers, so each worker divides its loss by the global batch size.

TensorFlow's servers, one in each worker, require no password. On a single machine they are closed
to other machines; otherwise run the executors in a private network.
"""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.all_reduce.channel import LINK_LIMIT, WorkerEnd
from backends.all_reduce.job import Source, WorkerJob
from backends.all_reduce.keras_replica import KerasReplica
from backends.all_reduce.network import private_network
from backends.all_reduce.replica import COLLECTIVE_LIMIT
from models import loss, optimizer

if TYPE_CHECKING:
    import tensorflow as tf

#: Seconds without a heartbeat of a worker after which TensorFlow aborts all workers. The default of
#: ten seconds is as short as a network outage may be. The limit exceeds ``LINK_LIMIT`` so that the
#: driver first detects which host has failed.
HEARTBEAT_LIMIT = LINK_LIMIT + 15
#: Set once this process has been a worker. TensorFlow can form collectives only once per process;
#: a second attempt fails and leaves the other workers waiting.
_used = Event()


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
        TensorFlowReplica(job, rank, driver, source(job, rank)).run()


class TensorFlowReplica(KerasReplica):
    """Copy of the network in a worker of ``MultiWorkerMirroredStrategy``."""

    def __init__(self, job: WorkerJob, rank: int, driver: WorkerEnd, source: Source) -> None:
        import keras
        import tensorflow as tf

        super().__init__(job, rank, driver, source)
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
        self._step, self._reduce, self._forward = self._traced()

    def batches(self, epoch: int) -> "tf.data.Dataset":
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

    def step(self, pixels: Any, labels: Any) -> float:
        """Train on a batch and return the sum of the losses of its images, in nats."""
        return float(self._step(pixels, labels))

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities, shape (n, classes), of pixels (n, h, w, c)."""
        return self._forward(pixels).numpy()

    def sum_over_workers(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sum of each array over all workers."""
        return [total.numpy() for total in self._reduce(list(values))]

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


def _wait_for_heartbeats() -> None:
    """Set the heartbeat timeout of TensorFlow's coordination service to ``HEARTBEAT_LIMIT``.

    The strategy configures this service, but has no option for the timeout (TensorFlow 2.19).
    """
    from tensorflow.python.eager.context import context

    context().configure_coordination_service = partial(
        context().configure_coordination_service, heartbeat_timeout_in_ms=HEARTBEAT_LIMIT * 1000
    )
