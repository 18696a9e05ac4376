"""Backend that predicts the class prior: a lower bound that every other result must exceed."""

from collections.abc import Sequence

import numpy as np

from backends.base import Backend, FitResult, Options, RunContext, TrainingTask


class Majority(Backend[Options]):
    """Predict the class prior, as scikit-learn's ``DummyClassifier(strategy="prior")`` does."""

    name = "majority"
    needs_spark = False
    trains = "nothing"
    packages = ()

    def synchronisation(self, task: TrainingTask) -> str:
        """Return that there is no training."""
        return "none: no training"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        """Compute the class frequencies of the training labels."""
        labels = task.data.index("train").column("label").to_numpy()
        counts = np.bincount(labels, minlength=len(task.data.class_names))
        shares = (counts / counts.sum()).astype(np.float32)
        note = "Probabilities are the class shares of the training images; no network is trained."
        return FitResult([shares], (), samples_seen=len(labels), steps=0, notes=(note,))

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Return the same probabilities for every test image."""
        return np.tile(weights[0], (task.data.rows("test"), 1))
