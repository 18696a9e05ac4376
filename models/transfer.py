"""Transfer learning: a backbone, dropout and a new last layer.

With a frozen backbone, backends train only the last layer, on features instead of images.
``with_backbone`` joins the two again after training.
"""

from typing import TYPE_CHECKING, Any

from models.backbones import Backbone, build_backbone
from models.config import BackboneConfig, ModelConfig
from models.errors import ModelError
from models.networks import augment
from models.weights import seeded_weights

if TYPE_CHECKING:
    import keras

#: Default fraction of features dropped in training.
DROPOUT = 0.2


def build_head(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    """Return a model of dropout and a dense layer with seeded weights.

    Its input is features of shape (n, 1, 1, features), its output probabilities (n, classes).

    Raises
    ------
    ModelError
        If ``image_shape`` is that of images instead of features.
    """
    import keras
    from keras import layers

    if image_shape[:2] != (1, 1):
        raise ModelError(f"the head requires features (1, 1, length), not images of {image_shape}")
    inputs = keras.Input(image_shape, name="features")
    x = layers.Flatten(name="flatten")(inputs)
    dropout = DROPOUT if config.dropout is None else config.dropout
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(classes, activation="softmax", name="probabilities")(x)
    head = keras.Model(inputs, outputs, name="head")
    head.set_weights(seeded_weights(head, seed))
    return head


def build_trainable(
    config: ModelConfig, image_shape: tuple[int, int, int], classes: int, seed: int
) -> "keras.Model":
    """Return a backbone with its own weights and a seeded head, all of it trainable."""
    backbone = build_backbone(backbone_config(config), image_shape, seed)
    for layer in backbone.model._flatten_layers():
        layer.trainable = True
    head = build_head(config, (1, 1, backbone.features), classes, seed)
    return _join(backbone, head, image_shape, augmentation_seed=seed if config.augmentation else -1)


def with_backbone(
    config: ModelConfig, head: "keras.Model", image_shape: tuple[int, int, int], seed: int
) -> "keras.Model":
    """Return a trained head on its frozen backbone: from pixels 0..255 to probabilities.

    Its probabilities differ from those of the run by rounding, because an inference engine computed
    the features and may have resized the images.
    """
    backbone = build_backbone(backbone_config(config), image_shape, seed)
    backbone.model.trainable = False
    return _join(backbone, head, image_shape, augmentation_seed=-1)


def backbone_config(config: ModelConfig) -> BackboneConfig:
    """Return the backbone of a ``transfer`` model, which is always set in a validated one."""
    if config.backbone is None:
        raise ModelError(f"{config.name} has no backbone")
    return config.backbone


def _join(
    backbone: Backbone,
    head: "keras.Model",
    image_shape: tuple[int, int, int],
    *,
    augmentation_seed: int,
) -> "keras.Model":
    import keras
    from keras import layers

    inputs = keras.Input(image_shape, name="pixels")
    x = augment(inputs, augmentation_seed) if augmentation_seed >= 0 else inputs
    features = backbone.model(_fitted(x, image_shape, backbone.input_shape))
    x = layers.Reshape((1, 1, backbone.features), name="feature_map")(features)
    return keras.Model(inputs, head(x), name="transfer")


def _fitted(x: Any, image_shape: tuple[int, int, int], target: tuple[int, int, int]) -> Any:
    """Convert images to the size and the channels that a backbone requires."""
    from keras import layers

    if image_shape[:2] != target[:2]:
        x = layers.Resizing(*target[:2], antialias=True, name="resizing")(x)
    if image_shape[2] != target[2]:
        x = layers.Concatenate(name="channels")([x] * target[2])
    return x
