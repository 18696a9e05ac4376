"""What both backends that train by all-reduce have in common."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from backends import inference
from backends.all_reduce import driver
from backends.base import Backend, Options, RunContext, TrainingTask


class AllReduceOptions(Options):
    """When training ends early."""

    #: Epochs without a better validation loss after which training stops and the best epoch's
    #: weights are kept; None trains all epochs.
    patience: driver.Patience = None


AllReduceOptionsT = TypeVar("AllReduceOptionsT", bound=AllReduceOptions)


class AllReduceBackend(Backend[AllReduceOptionsT]):
    """Everything but ``fit``: how a framework starts the workers is its own."""

    #: TensorFlow's workers know no password, and listen on all addresses of their host.
    listens_unprotected = True

    def synchronisation(self, task: TrainingTask) -> str:
        """Every step."""
        return "gradients summed over all workers at every step (ring all-reduce)"

    def unsupported(self, task: TrainingTask) -> str | None:
        """Refuse shards that do not fill a batch."""
        return driver.unsupported(task)

    def spark_conf(self, task: TrainingTask) -> dict[str, str]:
        """A failed worker fails the run: alone it cannot start again, the others have gone on."""
        return {"spark.task.maxFailures": "1", "spark.stage.maxConsecutiveAttempts": "1"}

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Predict with Keras on the executors; the frameworks have no prediction of their own."""
        return inference.predict(task, weights, context)
