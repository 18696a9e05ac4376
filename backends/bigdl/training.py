"""BigDL's optimiser, one call for each epoch; a lost executor costs no more than its epoch.

The driver keeps the weights of the last whole epoch. When an executor is lost, the epoch starts
again from them with a new optimiser. BigDL's own recovery (2.4) takes the steps made before the
loss for done, and a part of the model that Spark computes again by itself has the weights of the
epoch's start, without an error.
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

#: How gradients and weights travel between workers: as float32, or cut to 16 bits.
Exchange = Literal["full", "half"]
_COMPRESSION = {"full": "none", "half": "fp16"}
#: Keras's own value; BigDL's is 1e-8.
_ADAM_EPSILON = 1e-7
#: Losses of executors that a run survives.
_LOSS_LIMIT = 3
#: Seconds that Spark may take to notice that an executor is gone.
_NOTICE_LIMIT = 5.0
#: Seconds that the cluster may take to replace a lost executor.
_REPLACEMENT_LIMIT = 60.0
#: Seconds that BigDL's summary, written in the background, may lag behind training.
_SUMMARY_LIMIT = 10.0
_PROGRESS_INTERVAL = 1.0


class Trainer:
    """Trains a network on all workers, an epoch for each call."""

    def __init__(
        self,
        task: TrainingTask,
        context: RunContext,
        network: Network,
        ordering: Ordering,
        exchange: Exchange,
    ) -> None:
        self.steps = samples.steps_per_epoch(task)
        #: After the last whole epoch, in Keras's order.
        self.weights = network.get_weights()
        #: A sentence for each time that training did not simply go on.
        self.notes: list[str] = []
        self._losses = 0
        self._task, self._context, self._network = task, context, network
        self._ordering, self._exchange = ordering, exchange
        self._spark: SparkContext = context.spark.sparkContext
        self._executors = executors.alive(self._spark)
        self._shards = samples.placed_shards(task, context)
        self._optimizer: Any = None
        self._calls = 0
        #: What the optimiser left cached on the executors.
        self._cached: set[int] = set()

    def train_epoch(self, number: int) -> float:
        """Train epoch ``number``, counted from 1; return its mean loss.

        Raises
        ------
        BackendError
            When executors are lost again and again. Errors of a worker are raised as Spark
            tells them.
        """
        while True:
            try:
                loss = self._attempt(number)
            except Exception:
                if not self._lost(_NOTICE_LIMIT):
                    raise
            else:
                # An executor that went between two epochs leaves parts of the model behind that
                # Spark computes anew without a word.
                if not self._lost():
                    self.weights = self._network.get_weights()
                    return loss
            self._recover(
                f"An executor was lost in epoch {number}, which was trained again from the weights "
                "before it, with the optimiser's state anew."
            )

    def go_on(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        """Start from the weights after ``epoch`` of another process.

        Adam's moments are spread over the executors, which BigDL gives no way to read: they start
        from nothing, as after a lost executor.
        """
        self.weights = list(weights)
        self._network.set_weights(self.weights)
        if self._task.optimizer.name == "adam":
            self.notes.append(
                f"Training went on after epoch {epoch} from its weights, with the optimiser's "
                "state anew."
            )

    def validation_loss(self, number: int) -> float:
        """Return the mean loss of the weights over the validation images, after an epoch.

        Raises
        ------
        BackendError
            As ``train_epoch`` does.
        """
        while True:
            try:
                return inference.validation_loss(self._task, self.weights, self._context)
            except Exception:
                if not self._lost(_NOTICE_LIMIT):
                    raise
            self._recover(
                f"An executor was lost after epoch {number}: training went on from its weights, "
                "with the optimiser's state anew."
            )

    def _attempt(self, number: int) -> float:
        """Train one epoch and return its mean loss; the network's weights change."""
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
            with suppress(Exception):  # executors that are gone have nothing left to free
                batches.unpersist()
            self._cached = _cached(self._spark) - others
            self._free(keep=1)
        return float(np.mean(losses))

    def close(self) -> None:
        """Free what training has cached on the executors."""
        self._free(keep=0)
        with suppress(Exception):  # executors that are gone have nothing left to free
            self._shards.unpersist()

    def _free(self, keep: int) -> None:
        """Free all but the ``keep`` newest of the optimiser's RDDs.

        Each call of BigDL's ``optimize`` leaves its copies of the network behind. The last RDD
        that it makes has the optimiser's state, which the next call needs.
        """
        known = self._spark._jsc.getPersistentRDDs()
        numbers = sorted(self._cached)
        for number in numbers[: len(numbers) - keep]:
            with suppress(Exception):  # executors that are gone have nothing left to free
                known[number].unpersist(False)
            self._cached.discard(number)
        for number in self._cached:
            # Through what it was made of, it would hold the networks of all epochs in the driver.
            # BigDL has used it already, so that Spark would not do this by itself.
            newest = known[number].rdd()
            newest.localCheckpoint()
            newest.checkpointData().get().checkpoint()

    def _prepare(self, rdd: "RDD", number: int) -> tuple[Any, Any]:
        """Make the optimiser ready for one more epoch; return its batches and its diary."""
        from bigdl.dllib.optim.optimizer import MaxEpoch, TrainSummary

        if self._optimizer is None:
            self._optimizer = self._new_optimizer(rdd)
            self._calls = 0
        self._calls += 1
        self._optimizer.set_end_when(MaxEpoch(self._calls))
        diary = mkdtemp(prefix=f"epoch-{number}-", dir=self._context.folder)
        summary = TrainSummary(diary, "training")
        self._optimizer.set_train_summary(summary)
        return samples.training_set(rdd, self._task.global_batch_size), summary

    def _new_optimizer(self, rdd: "RDD") -> Any:
        """Return BigDL's optimiser, which keeps the state of Adam between its calls."""
        from bigdl.dllib.optim.optimizer import SGD, Adam, Optimizer

        config = self._task.optimizer
        if config.name == "adam":
            method = Adam(learningrate=config.learning_rate, epsilon=_ADAM_EPSILON)
        else:
            method = SGD(learningrate=config.learning_rate)
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
        """Return the loss; with weights, BigDL's own mean is over weights and not over images."""
        from bigdl.dllib.keras.objectives import SparseCategoricalCrossEntropy

        weights = self._task.loss_weights
        if weights is None:
            return SparseCategoricalCrossEntropy()
        share = np.array(weights, np.float32) / self._task.worker_batch_size
        return SparseCategoricalCrossEntropy(weights=share, size_average=False)

    def _step_losses(self, summary: Any) -> list[float]:
        """Return the loss of each step; the batches are of equal size."""
        deadline = time.monotonic() + _SUMMARY_LIMIT
        while True:
            losses = [loss for _, loss, _ in summary.read_scalar("Loss")]
            if len(losses) == self.steps:
                return losses
            if time.monotonic() > deadline:
                raise BackendError(
                    f"BigDL made {len(losses)} of {self.steps} steps: is the data set whole?"
                )
            time.sleep(0.1)

    @contextmanager
    def _progress(self, number: int, summary: Any) -> Iterator[None]:
        """Report the images and the mean loss of the epoch so far while the block runs."""

        def report() -> None:
            with suppress(Exception):  # a file in the middle of being written
                losses = [loss for _, loss, _ in summary.read_scalar("Loss")]
                if losses:
                    images = len(losses) * self._task.global_batch_size
                    self._context.on_batch(number, images, float(np.mean(losses)))

        with polled(report, _PROGRESS_INTERVAL, "bigdl-progress"):
            yield

    def _lost(self, patience: float = 0.0) -> bool:
        """Return whether an executor is gone, or goes within ``patience`` seconds."""
        return executors.lost(self._spark, self._executors, patience)

    def _recover(self, loss: str) -> None:
        """Return to the weights of the last whole epoch when the executors are back."""
        self.notes.append(loss)
        self._losses += 1
        if self._losses > _LOSS_LIMIT:
            raise BackendError(
                f"executors were lost {self._losses} times: are they short of memory? Give "
                "them more with --set spark.conf.spark.executor.memory=..."
            )
        deadline = time.monotonic() + _REPLACEMENT_LIMIT
        while len(executors.alive(self._spark)) < len(self._executors):
            if time.monotonic() > deadline:
                raise BackendError(
                    f"an executor was lost and none took its place within {_REPLACEMENT_LIMIT:g} s"
                )
            time.sleep(0.2)
        self._executors = executors.alive(self._spark)
        self._network.set_weights(self.weights)
        self.close()
        self._shards = samples.placed_shards(self._task, self._context)
        self._optimizer = None


def _cached(spark: "SparkContext") -> set[int]:
    """Return the numbers of the RDDs that are kept on the executors."""
    return set(spark._jsc.getPersistentRDDs())
