"""Predicts the class prior of the training images: the floor that any result must beat."""

from collections.abc import Sequence

import numpy as np

from backends.base import Backend, FitResult, Options, RunContext, TrainingTask


class Majority(Backend[Options]):
    """Predicts the class prior, as scikit-learn's ``DummyClassifier(strategy="prior")`` does."""

    name = "majority"
    needs_spark = False
    trains = "nothing"
    packages = ()

    def synchronisation(self, task: TrainingTask) -> str:
        """Nothing is trained."""
        return "none: no training"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        """Count the training labels."""
        labels = task.data.index("train").column("label").to_numpy()
        counts = np.bincount(labels, minlength=len(task.data.class_names))
        shares = (counts / counts.sum()).astype(np.float32)
        note = "Probabilities are the class shares of the training images; no network is trained."
        return FitResult([shares], (), samples_seen=len(labels), steps=0, notes=(note,))

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Give every test image the same probabilities."""
        return np.tile(weights[0], (task.data.rows("test"), 1))
