"""Base class of the backends that train by all-reduce."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from backends import inference
from backends.all_reduce import driver
from backends.base import Backend, Options, RunContext, TrainingTask
from backends.executors import NO_RETRIES


class AllReduceOptions(Options):
    """Early stopping."""

    #: Number of epochs without a lower validation loss after which training stops and returns the
    #: weights of the best epoch; None trains all epochs.
    patience: driver.Patience = None


AllReduceOptionsT = TypeVar("AllReduceOptionsT", bound=AllReduceOptions)


class AllReduceBackend(Backend[AllReduceOptionsT]):
    """Implements everything except ``fit``, because frameworks start workers differently."""

    #: The workers' servers require no password; TensorFlow's listen on all addresses of their host.
    listens_unprotected = True

    def synchronisation(self, task: TrainingTask) -> str:
        """Return that gradients are summed at every step."""
        return "gradients summed over all workers at every step (ring all-reduce)"

    def unsupported(self, task: TrainingTask) -> str | None:
        """Refuse shards with fewer images than a batch."""
        return driver.unsupported(task)

    def spark_conf(self, task: TrainingTask) -> dict[str, str]:
        """Disable retries: a worker cannot restart alone, since the others have continued."""
        return dict(NO_RETRIES)

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Predict with Keras on the executors, since the frameworks do not provide prediction."""
        return inference.predict(task, weights, context)
