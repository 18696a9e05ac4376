"""BigDL's optimiser, one call for each epoch; a lost executor costs no more than its epoch.

The driver keeps the weights of the last whole epoch. When an executor is lost, the epoch starts
again from them with a new optimiser. BigDL's own recovery (2.4) takes the steps made before the
loss for done, and a part of the model that Spark computes again by itself has the weights of the
epoch's start, without an error.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.base import RunContext, TrainingTask
from backends.bigdl import samples
from backends.bigdl.translation import Network
from backends.bigdl.weights import Ordering
from backends.errors import BackendError

if TYPE_CHECKING:
    from pyspark import SparkContext

#: How gradients and weights travel between workers: as float32, or cut to 16 bits.
Exchange = Literal["full", "half"]
_COMPRESSION = {"full": "none", "half": "fp16"}
#: Keras's own value; BigDL's is 1e-8.
_ADAM_EPSILON = 1e-7
#: Epochs of a run that may be lost to executors before the run fails.
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
        #: Numbers of the epochs that were lost with an executor and trained again.
        self.lost: list[int] = []
        self._task, self._context, self._network = task, context, network
        self._ordering, self._exchange = ordering, exchange
        self._spark: SparkContext = context.spark.sparkContext
        self._optimizer: Any = None
        self._calls = 0

    def train_epoch(self, number: int) -> float:
        """Train epoch ``number``, counted from 1; return its mean loss.

        Raises
        ------
        BackendError
            When executors are lost again and again. Errors of a worker are raised as Spark
            tells them.
        """
        while True:
            executors = _executors(self._spark)
            try:
                loss = self._attempt(number)
            except Exception:
                if not _lost(self._spark, executors, _NOTICE_LIMIT):
                    raise
            else:
                if not _lost(self._spark, executors):
                    self.weights = self._network.get_weights()
                    return loss
            self._recover(number, len(executors))

    def _attempt(self, number: int) -> float:
        """Train one epoch and return its mean loss; the network's weights change."""
        from bigdl.dllib.optim.optimizer import MaxEpoch, TrainSummary

        rdd = samples.training_rdd(self._task, self._context, number, self._ordering)
        if self._optimizer is None:
            self._optimizer = self._new_optimizer(rdd)
            self._calls = 0
        batches = samples.training_set(rdd, self._task.global_batch_size)
        self._calls += 1
        self._optimizer.set_end_when(MaxEpoch(self._calls))
        name = f"epoch-{number}-attempt-{len(self.lost) + 1}"
        summary = TrainSummary(str(self._context.folder / "bigdl"), name)
        self._optimizer.set_train_summary(summary)
        try:
            getattr(self._optimizer.value, "dataset_$eq")(batches.toDataSet())
            with self._progress(number, summary):
                self._optimizer.value.optimize()
            losses = self._losses(summary)
        finally:
            summary.value.close()
            with suppress(Exception):  # executors that are gone have nothing left to free
                batches.unpersist()
        return float(np.mean(losses))

    def _new_optimizer(self, rdd: Any) -> Any:
        """Return BigDL's optimiser, which keeps the state of Adam between its calls."""
        from bigdl.dllib.keras.objectives import SparseCategoricalCrossEntropy
        from bigdl.dllib.optim.optimizer import SGD, Adam, Optimizer

        config = self._task.optimizer
        if config.name == "adam":
            method = Adam(learningrate=config.learning_rate, epsilon=_ADAM_EPSILON)
        else:
            method = SGD(learningrate=config.learning_rate)
        optimizer = Optimizer.create(
            model=self._network.model,
            training_set=rdd,
            criterion=SparseCategoricalCrossEntropy(),
            optim_method=method,
            batch_size=self._task.global_batch_size,
        )
        optimizer.value.setCompressType(_COMPRESSION[self._exchange])
        optimizer.value.reserveOptim(True)
        return optimizer

    def _losses(self, summary: Any) -> list[float]:
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
        """Tell the context now and then how far the epoch is."""
        ended = Event()

        def watch() -> None:
            while not ended.wait(_PROGRESS_INTERVAL):
                with suppress(Exception):  # a file in the middle of being written
                    losses = [loss for _, loss, _ in summary.read_scalar("Loss")]
                    if losses and not ended.is_set():
                        images = len(losses) * self._task.global_batch_size
                        self._context.on_batch(number, images, float(np.mean(losses)))

        thread = Thread(target=watch, name="bigdl-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _recover(self, number: int, executors: int) -> None:
        """Return to the weights of the last whole epoch when the executors are back."""
        self.lost.append(number)
        if len(self.lost) > _LOSS_LIMIT:
            raise BackendError(
                f"executors were lost {len(self.lost)} times, last in epoch {number}: are they "
                "short of memory? Give them more with --set spark.conf.spark.executor.memory=..."
            )
        deadline = time.monotonic() + _REPLACEMENT_LIMIT
        while len(_executors(self._spark)) < executors:
            if time.monotonic() > deadline:
                raise BackendError(
                    f"an executor was lost in epoch {number} and none took its place within "
                    f"{_REPLACEMENT_LIMIT:g} s"
                )
            time.sleep(0.2)
        self._network.set_weights(self.weights)
        self._optimizer = None


def _executors(spark: "SparkContext") -> frozenset[tuple[str, int]]:
    """Return host and port of every executor that is alive."""
    infos = spark._jsc.sc().statusTracker().getExecutorInfos()
    own = spark._jsc.sc().env().blockManager().blockManagerId()
    found = {(info.host(), info.port()) for info in infos}
    return frozenset(found - {(own.host(), own.port())})


def _lost(spark: "SparkContext", before: frozenset[tuple[str, int]], patience: float = 0.0) -> bool:
    """Return whether one of ``before`` is gone, or goes within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while before <= _executors(spark):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True
