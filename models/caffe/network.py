"""Translation of a Caffe network to a functional Keras model, layer by layer.

Caffe's images are (n, channels, height, width) with the channels blue, green, red; the Keras model
takes pixels 0..255 of the project, (n, height, width, channels) with red, green, blue. The first
convolutions read the channels in the opposite order, instead of the model reversing them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models.caffe import layers as translations
from models.caffe.definition import Definition, Layer
from models.caffe.fillers import filled
from models.caffe.parameters import weight_parameters
from models.errors import ModelError
from models.weights import seeded_kernels

if TYPE_CHECKING:
    import keras

#: Layers with which a network for classification ends.
_ENDS = ("Softmax", "SoftmaxWithLoss", "SoftmaxLoss")


def check(definition: Definition) -> None:
    """Check that every layer can be translated; Keras is not needed.

    Raises
    ------
    ModelError
        If a layer cannot be translated; the message names all of them.
    """
    known = {*translations.TRANSLATIONS, *_ENDS, "BatchNorm", "Scale", "Split"}
    color = definition.shape is None or definition.shape[0] == 3
    for one in definition.layers:
        if color and definition.input in one.bottoms and one.type in known:
            whole = one.type == "Convolution" and one.parameters.convolution_param.group == 1
            if not whole:
                raise ModelError(
                    f"layer '{one.name}' ({one.type}) reads color images, which only a convolution "
                    "of one group can"
                )
    unknown = [one for one in definition.layers if one.type not in known]
    if unknown:
        listed = ", ".join(f"'{one.name}' ({one.type})" for one in unknown)
        raise ModelError(f"these layers of the Caffe network cannot be translated: {listed}")
    _last_with_weights(definition.layers)


def build_caffe(
    definition: Definition,
    image_shape: tuple[int, int, int],
    classes: int,
    seed: int,
    *,
    dropout: float | None = None,
    augment: Callable[[Any], Any] | None = None,
) -> "keras.Model":
    """Return the network for other images and classes, with its weights.

    Parameters
    ----------
    definition
        The network. Its last layer is replaced by one with seeded weights if it has another number
        of classes. Layers without weights in the file get those of their fillers, or seeded
        kernels if the definition has no filler for them.
    image_shape
        Height, width and channels of the images, which are resized to the size of the network.
    classes
        Number of classes.
    seed
        Seed of weights.
    dropout
        Fraction for all dropout layers; None keeps those of the network.
    augment
        Function that augments images in training, or None.

    Raises
    ------
    ModelError
        If a layer cannot be translated, or weights do not fit a layer.
    """
    import keras

    check(definition)
    layers = _with_head(definition.layers, classes)
    if dropout is not None:
        layers = tuple(_with_dropout(layer, dropout) for layer in layers)
    inputs = keras.Input(image_shape, name="pixels")
    images = augment(inputs) if augment else inputs
    blobs = {definition.input: _prepared(images, definition, image_shape)}
    color = definition.shape_for(image_shape)[0] == 3
    reversed_inputs = {definition.input} if color else set()
    assigned: list[tuple[Any, Sequence[np.ndarray]]] = []
    names: Counter[str] = Counter()
    output = definition.input
    position = 0
    while position < len(layers):
        layer = layers[position]
        following = layers[position + 1] if position + 1 < len(layers) else None
        position += 1
        if layer.type == "Split":
            blobs.update(dict.fromkeys(layer.tops, _of(blobs, layer)[0]))
            continue
        if layer.type in _ENDS:
            output = layer.bottoms[0]
            continue
        scale = None
        if layer.type == "BatchNorm" and following is not None and _scales(following, layer):
            scale = following
            position += 1
        name = _unique(layer.name, names)
        tensors = _of(blobs, layer)
        generator = np.random.default_rng([seed, position])
        layer = filled(layer, tuple(tensors[0].shape[1:]), generator)
        if layer.type in ("BatchNorm", "Scale"):
            made = translations.normalization(layer, name, tensors[0], scale)
        else:
            made = _translated(layer, name, tensors)
        output = (scale or layer).tops[0]
        blobs[output] = made.output
        if made.layer is not None and made.weights:
            values = list(made.weights)
            if layer.bottoms[0] in reversed_inputs:
                values[0] = values[0][:, :, ::-1]
            assigned.append((made.layer, values))
    model = keras.Model(inputs, _probabilities(blobs[output]), name="caffe")
    model.set_weights(seeded_kernels(model, seed))
    inside = {id(one) for one in model.layers}
    for made_layer, weights in assigned:
        if id(made_layer) in inside:
            _assign(made_layer, weights)
    return model


def _translated(layer: Layer, name: str, tensors: list[Any]) -> translations.Made:
    try:
        return translations.TRANSLATIONS[layer.type](layer, name, tensors)
    except ValueError as error:  # from Keras, for example for maps smaller than a kernel
        sizes = ", ".join(str(tuple(one.shape[1:])) for one in tensors)
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"layer '{layer.name}' ({layer.type}) cannot be built for maps of the shape {sizes}: "
            f"{reason}"
        ) from error


def _last_with_weights(layers: Sequence[Layer]) -> int:
    """Return the position of the layer that computes the scores of the classes."""
    found = [i for i, one in enumerate(layers) if one.type in ("InnerProduct", "Convolution")]
    if not found:
        raise ModelError("the Caffe network has neither a convolution nor an inner product")
    return found[-1]


def outputs_of(definition: Definition) -> int:
    """Return the number of outputs of the last layer that has weights."""
    return int(
        weight_parameters(definition.layers[_last_with_weights(definition.layers)]).num_output
    )


def head_note(definition: Definition, classes: int) -> str | None:
    """Return a sentence if the last layer is replaced for ``classes`` classes, else None."""
    last = definition.layers[_last_with_weights(definition.layers)]
    before = outputs_of(definition)
    if before == classes:
        return None
    return (
        f"The last layer '{last.name}' of the Caffe network has {before} outputs and was replaced "
        f"by one with {classes}, whose weights are drawn from the seed."
    )


def _with_head(layers: tuple[Layer, ...], classes: int) -> tuple[Layer, ...]:
    """Return the layers, of which the last with weights has as many outputs as classes."""
    position = _last_with_weights(layers)
    last = layers[position]
    if weight_parameters(last).num_output == classes:
        return layers
    head = replace(last, parameters=_copy(last.parameters), blobs=())
    weight_parameters(head).num_output = classes
    return (*layers[:position], head, *layers[position + 1 :])


def _copy(parameters: Any) -> Any:
    copied = type(parameters)()
    copied.CopyFrom(parameters)
    return copied


def _with_dropout(layer: Layer, fraction: float) -> Layer:
    if layer.type != "Dropout":
        return layer
    parameters = _copy(layer.parameters)
    parameters.dropout_param.dropout_ratio = fraction
    return replace(layer, parameters=parameters)


def _prepared(x: Any, definition: Definition, image_shape: tuple[int, int, int]) -> Any:
    """Return images with the size, channels and range that the network expects."""
    from keras import layers

    channels, height, width = definition.shape_for(image_shape)
    if image_shape[2] not in (1, channels):
        raise ModelError(
            f"the Caffe network requires gray images, and these have {image_shape[2]} channels"
        )
    if image_shape[:2] != (height, width):
        x = layers.Resizing(height, width, antialias=True, name="resizing")(x)
    if image_shape[2] != channels:
        x = layers.Concatenate(name="channels")([x] * channels)
    scale, mean = definition.preprocessing.scale, definition.preprocessing.mean
    if len(mean) not in (0, 1, channels):
        raise ModelError(f"the Caffe network has {len(mean)} mean values for {channels} channels")
    offsets = [-scale * value for value in reversed(mean)]
    offset: Any = offsets if len(set(offsets)) > 1 else next(iter(offsets), 0.0)
    if scale == 1 and not offset:
        return x
    return layers.Rescaling(scale, offset=offset, name="preprocessing")(x)


def _of(blobs: dict[str, Any], layer: Layer) -> list[Any]:
    missing = [name for name in layer.bottoms if name not in blobs]
    if missing or not layer.bottoms:
        raise ModelError(
            f"layer '{layer.name}' ({layer.type}) reads {', '.join(missing) or 'nothing'}, which "
            "no layer before it computes"
        )
    return [blobs[name] for name in layer.bottoms]


def _scales(layer: Layer, normalization: Layer) -> bool:
    return layer.type == "Scale" and layer.bottoms == normalization.tops


def _unique(name: str, used: Counter[str]) -> str:
    """Return a name that Keras accepts and no other layer has."""
    name = name.replace("/", "_")
    used[name] += 1
    return name if used[name] == 1 else f"{name}_{used[name]}"


def _probabilities(x: Any) -> Any:
    from keras import layers

    if len(x.shape) == 4:
        x = layers.Flatten(name="flatten")(x)
    return layers.Activation("softmax", name="probabilities")(x)


def _assign(layer: Any, weights: Sequence[np.ndarray]) -> None:
    expected = [tuple(weight.shape) for weight in layer.weights]
    found = [weight.shape for weight in weights]
    if expected != found:
        raise ModelError(
            f"the weights of layer '{layer.name}' in the Caffe file have the shapes {found}, and "
            f"the definition needs {expected}: do the two files belong together?"
        )
    layer.set_weights(weights)
