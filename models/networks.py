"""Networks as functional Keras models, from pixels 0..255 to class probabilities.

Every layer has a fixed name, so that models built repeatedly in one process are identical and
weights can be matched between frameworks.
"""

from typing import TYPE_CHECKING, Any

from models.config import ModelConfig
from models.errors import ModelError
from models.weights import seeded_weights

if TYPE_CHECKING:
    import keras


def small_cnn(inputs: Any, classes: int, dropout: float | None) -> Any:
    """Three convolutions and one hidden layer; 203,394 parameters at 50 x 50 x 1, 2 classes."""
    from keras import layers

    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    for number, filters in enumerate((32, 64, 64), start=1):
        x = layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=f"convolution_{number}"
        )(x)
        x = layers.MaxPooling2D(2, name=f"pooling_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation="softmax", name="probabilities")(x)


def lesion_cnn(inputs: Any, classes: int, dropout: float | None) -> Any:
    """Two wide convolutions and two hidden layers; 17,552,259 parameters at 100 x 100 x 3."""
    from keras import layers

    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    for number in (1, 2):
        x = layers.Conv2D(128, 3, activation="relu", name=f"convolution_{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pooling_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(256, activation="relu", name=f"hidden_{number}")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation="softmax", name="probabilities")(x)


def mini_xception(inputs: Any, classes: int, dropout: float | None) -> Any:
    """Small residual network of separable convolutions; 2,732,090 parameters at 180 x 180 x 3.

    After F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017.
    """
    from keras import layers

    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = layers.Conv2D(128, 3, strides=2, padding="same", name="entry_convolution")(x)
    x = layers.BatchNormalization(name="entry_normalization")(x)
    x = layers.Activation("relu", name="entry_activation")(x)
    shortcut = x
    for filters in (256, 512, 728):
        for number in (1, 2):
            part = f"block_{filters}_{number}"
            x = layers.Activation("relu", name=f"{part}_activation")(x)
            x = layers.SeparableConv2D(filters, 3, padding="same", name=f"{part}_convolution")(x)
            x = layers.BatchNormalization(name=f"{part}_normalization")(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block_{filters}_pooling")(x)
        shortcut = layers.Conv2D(
            filters, 1, strides=2, padding="same", name=f"block_{filters}_shortcut"
        )(shortcut)
        x = layers.Add(name=f"block_{filters}_sum")([x, shortcut])
        shortcut = x
    x = layers.SeparableConv2D(1024, 3, padding="same", name="exit_convolution")(x)
    x = layers.BatchNormalization(name="exit_normalization")(x)
    x = layers.Activation("relu", name="exit_activation")(x)
    x = layers.GlobalAveragePooling2D(name="exit_pooling")(x)
    x = layers.Dropout(0.5 if dropout is None else dropout, name="dropout")(x)
    return layers.Dense(classes, activation="softmax", name="probabilities")(x)


def augment(inputs: Any, seed: int) -> Any:
    """Flip and rotate images in training; return them unchanged in prediction."""
    from keras import layers

    x = layers.RandomFlip("horizontal", seed=seed, name="random_flip")(inputs)
    return layers.RandomRotation(0.1, seed=seed, name="random_rotation")(x)


NETWORKS = {"small_cnn": small_cnn, "lesion_cnn": lesion_cnn, "mini_xception": mini_xception}


def build_network(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    """Return one of the project's networks with seeded initial weights; see ``models.build``."""
    try:
        model = _connect(config, image_shape, classes, seed)
    except ValueError as error:
        if "negative dimension" not in str(error).lower() and "zero" not in str(error).lower():
            raise
        height, width, _ = image_shape
        raise ModelError(
            f"images of {height} x {width} pixels are too small for {config.name}; "
            "prepare larger images with --image-size"
        ) from error
    model.set_weights(seeded_weights(model, seed))
    return model


def _connect(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    import keras

    inputs = keras.Input(image_shape, name="pixels")
    x = augment(inputs, seed) if config.augmentation else inputs
    outputs = NETWORKS[config.name](x, classes, config.dropout)
    return keras.Model(inputs, outputs, name=config.name)
