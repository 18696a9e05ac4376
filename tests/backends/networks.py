"""Networks for the tests of the forward pass in PyTorch, in the dtype that Keras is set to."""

from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import layers

from models import ModelConfig
from models.networks import NETWORKS as OWN
from models.weights import seeded_kernels


def _seeded(model: keras.Model) -> keras.Model:
    model.set_weights(seeded_kernels(model, 1))
    return model


def _own(name: Literal["small_cnn", "lesion_cnn", "mini_xception"], side: int) -> keras.Model:
    assert ModelConfig(name=name).name in OWN
    inputs = keras.Input((side, side, 3))
    return _seeded(keras.Model(inputs, OWN[name](inputs, 2, 0.0)))


def _layers() -> keras.Model:
    """Return a model with the layers and settings that the project's networks lack."""
    inputs = keras.Input((21, 18, 3))
    x: Any = layers.Rescaling([0.01, 0.02, 0.01], offset=[0.0, -1.0, 0.5])(inputs)
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(x)
    x = layers.Conv2D(8, (3, 2), strides=2, padding="same", activation="elu", use_bias=False)(x)
    x = layers.Conv2D(8, 3, padding="same", groups=2, activation="relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    left = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="tanh")(x)
    right = layers.Conv2D(16, 3, dilation_rate=2, padding="same", activation="softmax")(x)
    x = layers.Concatenate()([layers.Add()([left, right]), layers.Multiply()([left, right])])
    x = layers.BatchNormalization(momentum=0.9, scale=False)(x)
    x = layers.LayerNormalization()(x)
    x = layers.UpSampling2D(2)(x) + 0.5
    x = layers.AveragePooling2D(2, padding="valid")(x)
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Permute((2, 1, 3))(x)
    flat = layers.Flatten()(x)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Concatenate()([flat, layers.Reshape((-1,))(pooled)])
    x = layers.BatchNormalization()(layers.Dense(6, activation="gelu")(x))
    return _seeded(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))


def _nested() -> keras.Model:
    """Return a model within a model, whose normalization is frozen, and a layer used twice."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(images)
    x = layers.BatchNormalization(name="frozen")(x)
    inner = keras.Model(images, layers.MaxPooling2D(2)(x), name="inner")
    inner.get_layer("frozen").trainable = False
    inputs = keras.Input((16, 16, 3))
    again = layers.Conv2D(6, 3, padding="same", activation="relu", name="again")
    x = inner(layers.Rescaling(1 / 255)(inputs), training=False)
    pooling = layers.MaxPooling2D(2)
    x = pooling(again(again(x)))
    x = pooling(layers.Conv2D(6, 3, padding="same", activation="relu", name="last")(x))
    x = layers.GlobalAveragePooling2D()(x)
    return _seeded(keras.Model(inputs, layers.Dense(2, activation="softmax")(x)))


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "small_cnn": lambda: _own("small_cnn", 26),
    "lesion_cnn": lambda: _own("lesion_cnn", 26),
    "mini_xception": lambda: _own("mini_xception", 32),
    "layers": _layers,
    "nested": _nested,
}
