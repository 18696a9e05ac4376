"""Losses that Keras has no name for. Imported where Keras is imported anyway."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="sparkdl_bench")
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of integer labels, in which an image counts as much as its class says.

    The mean is over images, not over weights: with a batch that lacks a class, the others do not
    count more. ``class_weight`` of ``keras.Model.fit`` is the same.
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
        """Return what makes the loss again."""
        return {**super().get_config(), "class_weights": list(self.class_weights)}
