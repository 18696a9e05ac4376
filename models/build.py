"""Construction of Keras models, losses and optimizers from their configuration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
        Weight of an image of each class; None for equal weights.
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
        The network and its options.
    image_shape
        Height, width, channels. The input of the model is pixels 0..255 of shape
        (n, *image_shape), or, for a network on a frozen backbone, features of shape
        (n, 1, 1, features).
    classes
        Number of classes. The output of the model is probabilities of shape (n, classes).
    seed
        Seed of the initial weights and the augmentation.

    Raises
    ------
    ModelError
        If there are fewer than two classes, the images are too small for the network, or the
        backbone cannot be loaded.
    """
    if classes < 2:
        raise ModelError(f"a classifier needs at least 2 classes, not {classes}")
    with keras_defaults():
        return _built(config, image_shape, classes, seed)


def _built(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    if config.name == "caffe":
        return _built_from_caffe(config, image_shape, classes, seed)
    if config.name != "transfer":
        return build_network(config, image_shape, classes, seed)
    from models import transfer

    if config.trainable:
        return transfer.build_trainable(config, image_shape, classes, seed)
    return transfer.build_head(config, image_shape, classes, seed)


def _built_from_caffe(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    from models.caffe import build_caffe, read_definition
    from models.networks import augment

    return build_caffe(
        read_definition(*config.files),
        image_shape,
        classes,
        seed,
        dropout=config.dropout,
        augment=(lambda inputs: augment(inputs, seed)) if config.augmentation else None,
    )


def optimizer(config: OptimizerConfig) -> "keras.optimizers.Optimizer":
    """Return a new Keras optimizer."""
    import keras

    rate: Any = config.learning_rate
    if config.policy is not None:
        from models.learning_rate import LearningRatePolicy

        rate = LearningRatePolicy(rate, config.policy.model_dump(mode="json"))
    if config.name == "sgd":
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.nesterov)
    kinds = {
        "adam": keras.optimizers.Adam,
        "adagrad": keras.optimizers.Adagrad,
        "rmsprop": keras.optimizers.RMSprop,
    }
    return kinds[config.name](learning_rate=rate)


def compiled(
    model: "keras.Model", config: OptimizerConfig, class_weights: Sequence[float] | None = None
) -> "keras.Model":
    """Return ``model``, compiled with the project's loss and the optimizer of ``config``."""
    model.compile(optimizer=optimizer(config), loss=loss(class_weights))
    return model
