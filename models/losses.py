"""Custom losses. This module imports Keras, so it is imported only where Keras is needed."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="sparkdl_bench")
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of integer labels, with each image weighted by its class.

    The mean is over images, not over weights, so that the other classes do not gain weight in a
    batch that lacks a class. This is equivalent to ``class_weight`` of ``keras.Model.fit``.
    """

    def __init__(
        self,
        class_weights: Sequence[float],
        reduction: str = "sum_over_batch_size",
        name: str = "weighted_cross_entropy",
        **other: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **other)
        self.class_weights = tuple(float(weight) for weight in class_weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, shape (n,), from labels (n,) and probabilities (n, c)."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        each = keras.losses.sparse_categorical_crossentropy(labels, y_pred)
        return each * ops.take(ops.convert_to_tensor(self.class_weights, each.dtype), labels)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which Keras can recreate the loss."""
        return {**super().get_config(), "class_weights": list(self.class_weights)}
