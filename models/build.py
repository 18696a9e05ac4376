"""From a specification to a Keras model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.config import ModelConfig, OptimizerConfig
from models.defaults import keras_defaults
from models.errors import ModelError
from models.networks import build_network

if TYPE_CHECKING:
    import keras

LOSS = "sparse_categorical_crossentropy"


def loss(class_weights: Sequence[float] | None = None) -> "str | keras.losses.Loss":
    """Return the project's loss: mean cross-entropy over a batch, in nats.

    Parameters
    ----------
    class_weights
        What an image of each class counts; None counts all the same.
    """
    if class_weights is None:
        return LOSS
    from models.losses import WeightedCrossEntropy

    return WeightedCrossEntropy(class_weights)


def build(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    """Return an uncompiled functional model with its initial weights.

    Parameters
    ----------
    config
        Which network, with its options.
    image_shape
        Height, width, channels; the model takes pixels 0..255 of shape (n, *image_shape). A
        network on a frozen backbone takes its features, of shape (n, 1, 1, features).
    classes
        Number of classes; the model gives probabilities of shape (n, classes).
    seed
        Decides initial weights and augmentation.

    Raises
    ------
    ModelError
        For fewer than two classes, images too small for the network, or a backbone that cannot
        be had.
    """
    if classes < 2:
        raise ModelError(f"a classifier needs at least 2 classes, not {classes}")
    with keras_defaults():
        return _built(config, image_shape, classes, seed)


def _built(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    if config.name != "transfer":
        return build_network(config, image_shape, classes, seed)
    from models import transfer

    if config.trainable:
        return transfer.build_trainable(config, image_shape, classes, seed)
    return transfer.build_head(config, image_shape, classes, seed)


def optimizer(config: OptimizerConfig) -> "keras.optimizers.Optimizer":
    """Return a fresh Keras optimiser."""
    import keras

    kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    return kinds[config.name](learning_rate=config.learning_rate)


def compiled(
    model: "keras.Model", config: OptimizerConfig, class_weights: Sequence[float] | None = None
) -> "keras.Model":
    """Return ``model``, compiled with the project's loss and the optimiser of ``config``."""
    model.compile(optimizer=optimizer(config), loss=loss(class_weights))
    return model
