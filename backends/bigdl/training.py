"""Training with BigDL's optimizer, one call per epoch; a lost executor costs at most its epoch.

The driver keeps the weights of the last complete epoch. When an executor is lost, the epoch is
restarted from them with a new optimizer. BigDL's own recovery (2.4) is not used: it counts the
steps before the loss as completed although a part of the model that Spark recomputes has the
weights of the start of the epoch, and it reports no error.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends import executors, inference
from backends.base import RunContext, TrainingTask
from backends.bigdl import samples
from backends.bigdl.quiet import quiet
from backends.bigdl.translation import Network
from backends.bigdl.weights import Ordering
from backends.errors import BackendError
from backends.polling import polled

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

#: Transfer of gradients and weights between workers: as float32, or truncated to 16 bits.
Exchange = Literal["full", "half"]
_COMPRESSION = {"full": "none", "half": "fp16"}
#: Default of Keras; that of BigDL is 1e-8.
_ADAM_EPSILON = 1e-7
#: Losses of executors from which a run recovers.
_LOSS_LIMIT = 3
#: Seconds that Spark may take to detect that an executor is lost.
_NOTICE_LIMIT = 5.0
#: Seconds that the cluster may take to replace a lost executor.
_REPLACEMENT_LIMIT = 60.0
#: Seconds that BigDL's summary, written in the background, may lag behind training.
_SUMMARY_LIMIT = 10.0
_PROGRESS_INTERVAL = 1.0


class Trainer:
    """Trains a network on all workers, one epoch per call."""

    def __init__(
        self,
        task: TrainingTask,
        context: RunContext,
        network: Network,
        ordering: Ordering,
        exchange: Exchange,
    ) -> None:
        self.steps = samples.steps_per_epoch(task)
        #: Weights after the last complete epoch, in Keras's order.
        self.weights = network.get_weights()
        #: One sentence for each recovery or resumption of training.
        self.notes: list[str] = []
        self._losses = 0
        self._task, self._context, self._network = task, context, network
        self._ordering, self._exchange = ordering, exchange
        self._spark: SparkContext = context.spark.sparkContext
        self._executors = executors.alive(self._spark)
        self._shards = samples.placed_shards(task, context)
        self._optimizer: Any = None
        self._calls = 0
        #: Ids of the RDDs that the optimizer has cached on the executors.
        self._cached: set[int] = set()

    def train_epoch(self, number: int) -> float:
        """Train epoch ``number``, counted from 1; return its mean loss in nats.

        Raises
        ------
        BackendError
            If executors are lost repeatedly. Errors of a worker are raised as reported by Spark.
        """
        while True:
            try:
                loss = self._attempt(number)
            except Exception:
                if not self._lost(_NOTICE_LIMIT):
                    raise
            else:
                # If an executor is lost between two epochs, Spark silently recomputes its parts of
                # the model.
                if not self._lost():
                    self.weights = self._network.get_weights()
                    return loss
            self._recover(
                f"An executor was lost in epoch {number}, which was trained again from the weights "
                "before it, with a reset optimizer state."
            )

    def resume(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        """Resume from the weights after ``epoch`` of another process.

        Moments are distributed over the executors, and BigDL offers no way to read them: they are
        reset, as after the loss of an executor.
        """
        self.weights = list(weights)
        self._network.set_weights(self.weights)
        if self._task.optimizer.name == "adam" or self._task.optimizer.momentum:
            self.notes.append(
                f"Training was resumed after epoch {epoch} from its weights, with a reset "
                "optimizer state."
            )

    def validation_loss(self, number: int) -> float:
        """Return the mean loss of the weights over the validation images, after an epoch.

        Raises
        ------
        BackendError
            As in ``train_epoch``.
        """
        while True:
            try:
                return inference.validation_loss(self._task, self.weights, self._context)
            except Exception:
                if not self._lost(_NOTICE_LIMIT):
                    raise
            self._recover(
                f"An executor was lost after epoch {number}: training was resumed from its "
                "weights, with a reset optimizer state."
            )

    def _attempt(self, number: int) -> float:
        """Train one epoch, which changes the network's weights, and return its mean loss."""
        others = _cached(self._spark) - self._cached
        rdd = samples.training_rdd(self._task, self._shards, number, self._ordering)
        with quiet():
            batches, summary = self._prepare(rdd, number)
        try:
            getattr(self._optimizer.value, "dataset_$eq")(batches.toDataSet())
            with self._progress(number, summary):
                self._optimizer.value.optimize()
            losses = self._step_losses(summary)
        finally:
            summary.value.close()
            with suppress(Exception):  # lost executors have nothing to free
                batches.unpersist()
            self._cached = _cached(self._spark) - others
            self._free(keep=1)
        return float(np.mean(losses))

    def close(self) -> None:
        """Free the data that training has cached on the executors."""
        self._free(keep=0)
        with suppress(Exception):  # lost executors have nothing to free
            self._shards.unpersist()

    def _free(self, keep: int) -> None:
        """Free all but the ``keep`` newest RDDs of the optimizer.

        Each call of BigDL's ``optimize`` leaves copies of the network in the cache. The last RDD
        that it creates contains the optimizer's state, which the next call needs.
        """
        known = self._spark._jsc.getPersistentRDDs()
        numbers = sorted(self._cached)
        for number in numbers[: len(numbers) - keep]:
            with suppress(Exception):  # lost executors have nothing to free
                known[number].unpersist(False)
            self._cached.discard(number)
        for number in self._cached:
            # Its lineage would keep the networks of all epochs alive in the driver. The checkpoint
            # is made explicitly because the RDD has already been evaluated by BigDL, so Spark would
            # not make it.
            newest = known[number].rdd()
            newest.localCheckpoint()
            newest.checkpointData().get().checkpoint()

    def _prepare(self, rdd: "RDD", number: int) -> tuple[Any, Any]:
        """Prepare the optimizer for one more epoch; return its batches and its summary."""
        from bigdl.dllib.optim.optimizer import MaxEpoch, TrainSummary

        if self._optimizer is None:
            self._optimizer = self._new_optimizer(rdd)
            self._calls = 0
        self._calls += 1
        self._optimizer.set_end_when(MaxEpoch(self._calls))
        folder = mkdtemp(prefix=f"epoch-{number}-", dir=self._context.folder)
        summary = TrainSummary(folder, "training")
        self._optimizer.set_train_summary(summary)
        return samples.training_set(rdd, self._task.global_batch_size), summary

    def _new_optimizer(self, rdd: "RDD") -> Any:
        """Return a BigDL optimizer that keeps the state of Adam between its calls."""
        from bigdl.dllib.optim.optimizer import SGD, Adam, Optimizer

        config = self._task.optimizer
        if config.name == "adam":
            method = Adam(learningrate=config.learning_rate, epsilon=_ADAM_EPSILON)
        else:
            method = SGD(
                learningrate=config.learning_rate,
                momentum=config.momentum,
                dampening=0.0,
                nesterov=config.nesterov,
            )
        optimizer = Optimizer.create(
            model=self._network.model,
            training_set=rdd,
            criterion=self._criterion(),
            optim_method=method,
            batch_size=self._task.global_batch_size,
        )
        optimizer.value.setCompressType(_COMPRESSION[self._exchange])
        optimizer.value.reserveOptim(True)
        return optimizer

    def _criterion(self) -> Any:
        """Return the loss function, with the mean over images if classes are weighted.

        BigDL's own mean of a weighted loss is over weights.
        """
        from bigdl.dllib.keras.objectives import SparseCategoricalCrossEntropy

        weights = self._task.loss_weights
        if weights is None:
            return SparseCategoricalCrossEntropy()
        share = np.array(weights, np.float32) / self._task.worker_batch_size
        return SparseCategoricalCrossEntropy(weights=share, size_average=False)

    def _step_losses(self, summary: Any) -> list[float]:
        """Return the loss of each step; all batches have the same size."""
        deadline = time.monotonic() + _SUMMARY_LIMIT
        while True:
            losses = [loss for _, loss, _ in summary.read_scalar("Loss")]
            if len(losses) == self.steps:
                return losses
            if time.monotonic() > deadline:
                raise BackendError(
                    f"BigDL completed {len(losses)} of {self.steps} steps: is the data set "
                    "complete?"
                )
            time.sleep(0.1)

    @contextmanager
    def _progress(self, number: int, summary: Any) -> Iterator[None]:
        """While the block runs, report the images and the mean loss of the epoch so far."""

        def report() -> None:
            with suppress(Exception):  # the file may be incomplete while BigDL writes it
                losses = [loss for _, loss, _ in summary.read_scalar("Loss")]
                if losses:
                    images = len(losses) * self._task.global_batch_size
                    self._context.on_batch(number, images, float(np.mean(losses)))

        with polled(report, _PROGRESS_INTERVAL, "bigdl-progress"):
            yield

    def _lost(self, patience: float = 0.0) -> bool:
        """Return whether an executor is lost now or within ``patience`` seconds."""
        return executors.lost(self._spark, self._executors, patience)

    def _recover(self, loss: str) -> None:
        """Restore the weights of the last complete epoch once lost executors are replaced."""
        self.notes.append(loss)
        self._losses += 1
        if self._losses > _LOSS_LIMIT:
            raise BackendError(
                f"executors were lost {self._losses} times, possibly for lack of memory: increase "
                "it with --set spark.conf.spark.executor.memory=..."
            )
        deadline = time.monotonic() + _REPLACEMENT_LIMIT
        while len(executors.alive(self._spark)) < len(self._executors):
            if time.monotonic() > deadline:
                raise BackendError(
                    f"a lost executor was not replaced within {_REPLACEMENT_LIMIT:g} s"
                )
            time.sleep(0.2)
        self._executors = executors.alive(self._spark)
        self._network.set_weights(self.weights)
        self.close()
        self._shards = samples.placed_shards(self._task, self._context)
        self._optimizer = None


def _cached(spark: "SparkContext") -> set[int]:
    """Return the ids of the RDDs that are cached on the executors."""
    return set(spark._jsc.getPersistentRDDs())
