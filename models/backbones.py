"""Backbones: frozen networks that turn an image into a feature vector.

A backbone is a Keras model from pixels 0..255 to features. It includes the preprocessing of its
model family, so that callers do not depend on means, scales or channel orders.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import NETWORK_NAMES, BackboneConfig, ModelConfig
from models.errors import ModelError
from models.networks import build_network
from models.weights import checksum

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network that computes features."""

    #: Maps float32 pixels 0..255, shape (n, *input_shape), to float32 features (n, features).
    model: "keras.Model"
    #: Height, width, channels.
    input_shape: tuple[int, int, int]
    #: Length of a feature vector.
    features: int
    #: SHA-256 over everything that determines the features.
    digest: str


def build_backbone(
    config: BackboneConfig, image_shape: tuple[int, int, int], seed: int = 0
) -> Backbone:
    """Build, load or download a backbone for images of one shape.

    Parameters
    ----------
    config
        The network and the layer of the features.
    image_shape
        Height, width, channels of the images.
    seed
        Seed of weights that are not loaded.

    Raises
    ------
    ModelError
        If the name is unknown, the file is missing or unusable, the layer does not exist, the
        images are too small or of the wrong channels, or the weights cannot be downloaded.
    """
    preprocess = None
    if config.is_caffe:
        model = _caffe(config, image_shape, seed)
        shape = tuple(model.inputs[0].shape[1:])
    elif config.is_file:
        model = _load(config.path)
        shape = _input_shape(model, config, image_shape)
    elif config.name in NETWORK_NAMES:
        shape = _own_size(config, image_shape)
        network = ModelConfig.model_validate({"name": config.name})
        model = build_network(network, shape, classes=2, seed=seed)
    else:
        from models import applications

        minimum, trained_at = applications.sizes(config.name)
        size = config.image_size or trained_at
        _check_size(config, image_shape, minimum)
        shape = (size, size, 3)
        model = applications.load(config.name, shape, config.weights or "imagenet", seed)
        preprocess = applications.preprocessing(config.name)
    if shape[2] == 1 and image_shape[2] != 1:
        raise ModelError(
            f"{config.name} requires gray images, and these have {image_shape[2]} channels"
        )
    whole = _with_input(_cut(model, config), shape, preprocess)
    return Backbone(
        model=whole,
        input_shape=shape,
        features=int(whole.output.shape[-1]),
        digest=_digest(config, shape, whole),
    )


def _caffe(config: BackboneConfig, image_shape: tuple[int, int, int], seed: int) -> "keras.Model":
    """Return a Caffe network with its own last layer and its preprocessing."""
    from models.caffe import build_caffe, outputs_of, read_definition

    definition = read_definition(*config.files)
    channels, height, width = definition.shape_for(image_shape)
    shape = (height, width, 1 if image_shape[2] == 1 else channels)
    return build_caffe(definition, shape, outputs_of(definition), seed)


def _load(path: Path) -> "keras.Model":
    import keras

    if not path.is_file():
        raise ModelError(f"there is no backbone file {path}")
    try:
        # Safe mode refuses layers that would run code from the file.
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types of errors for files that are not models
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} is not a Keras 3 model that can be loaded safely: {reason}"
        ) from error
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ModelError(f"{path} must have a single input of images (n, height, width, channels)")
    return model


def _input_shape(
    model: "keras.Model", config: BackboneConfig, image_shape: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return the input shape of a loaded model, from its fixed dimensions and the configuration."""
    height, width, channels = model.inputs[0].shape[1:]
    if channels not in (1, 3, None):
        raise ModelError(f"{config.name} requires {channels} channels; images have 1 or 3")
    own = _own_size(config, image_shape)
    if config.image_size and {height, width} - {None, config.image_size}:
        raise ModelError(
            f"{config.name} requires images of {height} x {width}, not {config.image_size}: "
            "omit model.backbone.image_size"
        )
    return height or own[0], width or own[1], channels or own[2]


def _own_size(config: BackboneConfig, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if config.image_size is None:
        return image_shape
    return config.image_size, config.image_size, image_shape[2]


def _check_size(config: BackboneConfig, image_shape: tuple[int, int, int], minimum: int) -> None:
    """Raise ModelError for images smaller than the network needs, unless they are enlarged."""
    if config.image_size is not None and config.image_size < minimum:
        raise ModelError(
            f"model.backbone.image_size {config.image_size}: {config.name} needs at least "
            f"{minimum} x {minimum}"
        )
    height, width, _ = image_shape
    if config.image_size is None and min(height, width) < minimum:
        raise ModelError(
            f"images of {height} x {width} pixels: {config.name} needs at least {minimum} x "
            f"{minimum}: prepare larger images with --image-size, or enlarge them with --set "
            f"model.backbone.image_size={minimum}"
        )


def _cut(model: "keras.Model", config: BackboneConfig) -> "keras.Model":
    """Return ``model`` up to the layer of ``config``; its output is (n, features)."""
    import keras

    output = _before_head(model) if config.layer is None else _layer(model, config).output
    if not isinstance(output, keras.KerasTensor):
        raise ModelError(f"layer '{config.layer}' of {config.name} must have a single output")
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name="features")(output)
    if len(output.shape) != 2:
        raise ModelError(
            f"layer '{config.layer}' of {config.name} has the output shape {output.shape}: choose "
            "one with a vector (n, features) or maps (n, height, width, features)"
        )
    return keras.Model(model.inputs[0], output, name="backbone")


def _before_head(model: "keras.Model") -> Any:
    """Return the input of the last layer if it is Dense, else the output of the model."""
    from keras import layers

    last = model.outputs[0]._keras_history.operation
    if isinstance(last, (layers.Activation, layers.Softmax)):
        last = last.input._keras_history.operation
    return last.input if isinstance(last, layers.Dense) else model.outputs[0]


def _layer(model: "keras.Model", config: BackboneConfig) -> "keras.layers.Layer":
    names = [layer.name for layer in model.layers]
    if config.layer in names:
        return model.get_layer(config.layer)
    near = get_close_matches(str(config.layer), names, n=3) or names[-3:]
    raise ModelError(
        f"{config.name} has no layer '{config.layer}'; similar names: {', '.join(near)}"
    )


def _with_input(
    model: "keras.Model", shape: tuple[int, int, int], preprocess: Callable[[Any], Any] | None
) -> "keras.Model":
    """Return ``model`` with a fixed input shape, for which engines can optimize."""
    import keras

    inputs = keras.Input(shape, name="pixels")
    try:
        outputs = model(preprocess(inputs) if preprocess else inputs)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the backbone does not accept images of {shape[0]} x {shape[1]}: {reason}"
        ) from error
    if None in outputs.shape[1:]:
        raise ModelError(f"the length of the backbone's features is unknown: {outputs.shape}")
    return keras.Model(inputs, outputs, name="featurizer")


def _digest(config: BackboneConfig, shape: tuple[int, ...], model: "keras.Model") -> str:
    """Return a digest of the content and not of the path, which does not affect the features."""
    import keras

    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in config.files]
    source: Any = contents if len(contents) > 1 else contents[0] if contents else config.name
    decisive = [source, config.layer, shape, checksum(model.get_weights()), keras.__version__]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
