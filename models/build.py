"""From a specification to a Keras model."""

from typing import TYPE_CHECKING

from models.config import ModelConfig, OptimizerConfig
from models.errors import ModelError
from models.networks import connect
from models.weights import seeded_weights

if TYPE_CHECKING:
    import keras

LOSS = "sparse_categorical_crossentropy"


def build(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    """Return an uncompiled functional model with seeded initial weights.

    Parameters
    ----------
    config
        Which network, with its options.
    image_shape
        Height, width, channels; the model takes pixels 0..255 of shape (n, *image_shape).
    classes
        Number of classes; the model gives probabilities of shape (n, classes).
    seed
        Decides initial weights and augmentation.

    Raises
    ------
    ModelError
        For fewer than two classes, or images too small for the network.
    """
    if classes < 2:
        raise ModelError(f"a classifier needs at least 2 classes, not {classes}")
    try:
        model = connect(
            config.name,
            image_shape,
            classes,
            dropout=config.dropout,
            augmentation_seed=seed if config.augmentation else None,
        )
    except ValueError as error:
        if "negative dimension" not in str(error).lower() and "zero" not in str(error).lower():
            raise
        height, width, _ = image_shape
        raise ModelError(
            f"images of {height} x {width} pixels are too small for {config.name}; "
            "prepare them at a larger size"
        ) from error
    model.set_weights(seeded_weights(model, seed))
    return model


def optimizer(config: OptimizerConfig) -> "keras.optimizers.Optimizer":
    """Return a fresh Keras optimiser."""
    import keras

    kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    return kinds[config.name](learning_rate=config.learning_rate)


def compiled(model: "keras.Model", config: OptimizerConfig) -> "keras.Model":
    """Return ``model``, compiled with the project's loss and the optimiser of ``config``."""
    model.compile(optimizer=optimizer(config), loss=LOSS)
    return model
