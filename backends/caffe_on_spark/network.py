"""Translation of a Keras network to a Caffe network, and of its weights in both directions.

This module needs neither Caffe nor, except for the Keras model that it is given, Keras. Properties
of Caffe that the translation takes into account:

- Images are (channels, height, width) instead of (height, width, channels). The first dense layer
  after images thus takes its inputs in another order, and its kernel is permuted.
- Pooling rounds the size of its result up unless ``round_mode`` is ``FLOOR``, which some builds and
  readers know as ``ceil_mode: false`` (:func:`with_ceil_mode`).
- The loss with class weights is an ``InfogainLoss`` whose matrix has the weights on its diagonal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.errors import BackendError
from models.caffe.schema import messages

if TYPE_CHECKING:
    import keras

#: Names of the blobs of a Caffe network that the backend writes and reads.
PIXELS, LABELS, CLASS_WEIGHTS, PROBABILITIES, LOSS = (
    *("pixels", "labels", "class_weights", "probabilities", "loss"),
)
#: Input of the softmax.
_LOGITS = "logits"
_RESERVED = (PIXELS, LABELS, CLASS_WEIGHTS, PROBABILITIES, LOSS, _LOGITS)
_ACTIVATIONS = ("linear", "relu", "softmax")


@dataclass(frozen=True)
class Parameter:
    """Blob of Caffe that holds one array of ``keras.Model.get_weights()``."""

    #: Name of the layer in both networks.
    layer: str
    #: Number of the blob in its layer: 0 is the kernel, 1 the bias.
    blob: int
    #: Shape in Keras: (height, width, input, output) of a convolution, (input, output) of a dense
    #: layer, (output,) of a bias.
    shape: tuple[int, ...]
    #: Height, width and channels of the images that a dense layer flattens; None for any other.
    flattened: tuple[int, int, int] | None = None

    def to_caffe(self, value: np.ndarray) -> np.ndarray:
        """Return an array of Keras in the layout of Caffe, (output, input, ...)."""
        if len(self.shape) == 1:
            return value
        if self.flattened is not None:
            value = value.reshape(*self.flattened, -1)
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
            return value.reshape(len(value), -1) if self.flattened is not None else value
        return value.T

    def to_keras(self, value: np.ndarray) -> np.ndarray:
        """Invert :meth:`to_caffe`; the result is a copy."""
        if self.flattened is not None:
            height, width, channels = self.flattened
            value = value.reshape(-1, channels, height, width)
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            value = value.T
        return np.array(value.reshape(self.shape), np.float32, order="C")


@dataclass(frozen=True)
class CaffeNetwork:
    """Definition of a Caffe network without weights; picklable."""

    #: Definition for training (``train.prototxt``), with labels and a loss.
    training: str
    #: Definition for prediction (``deploy.prototxt``), for batches of any size.
    prediction: str
    #: In the order of ``keras.Model.get_weights()``.
    parameters: tuple[Parameter, ...]
    #: Height, width and channels of the images.
    image_shape: tuple[int, int, int]
    #: Weight of the loss of an image of each class; None for equal weights.
    class_weights: tuple[float, ...] | None = None


def translate(
    model: "keras.Model", batch_size: int = 1, class_weights: Sequence[float] | None = None
) -> CaffeNetwork:
    """Return the translation of a Keras model.

    Parameters
    ----------
    model
        Functional model for which :func:`obstacle` returns None.
    batch_size
        Images in a batch of training.
    class_weights
        Weight of the loss of an image of each class; None for equal weights.

    Raises
    ------
    BackendError
        If a layer cannot be translated; the message names it.
    """
    reason = obstacle(model)
    if reason is not None:
        raise BackendError(reason)
    shape = tuple(model.inputs[0].shape[1:])
    classes = int(model.outputs[0].shape[-1])
    weights = None if class_weights is None else tuple(class_weights)
    draft = _Draft()
    for layer in model.layers[1:]:
        _TRANSLATIONS[type(layer).__name__](layer, draft)
    return CaffeNetwork(
        training=_text(_training(model.name, draft, shape, batch_size, classes, weights)),
        prediction=_text(_prediction(model.name, draft, shape)),
        parameters=tuple(draft.parameters),
        image_shape=(shape[0], shape[1], shape[2]),
        class_weights=weights,
    )


def with_ceil_mode(definition: str) -> str:
    """Return a definition for builds and readers of Caffe that have ``ceil_mode``."""
    return definition.replace("round_mode: FLOOR", "ceil_mode: false")


def obstacle(model: "keras.Model") -> str | None:
    """Return why ``model`` cannot be translated, naming the layer, or None."""
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.inputs[0].shape) != 4:
        return f"{model.name}: only networks from one image to probabilities are written for Caffe"
    previous = model.inputs[0]
    for layer in model.layers[1:]:
        reason = _obstacle_of(layer, previous, is_last=layer is model.layers[-1])
        if reason is not None:
            return f"layer '{layer.name}' ({type(layer).__name__}) {reason}"
        previous = layer.output
    if _activation(model.layers[-1]) != "softmax":
        return f"{model.name} does not end with a softmax, with which Caffe computes its loss"
    return None


def _obstacle_of(layer: Any, previous: Any, *, is_last: bool) -> str | None:
    """Return why a layer that should follow the tensor ``previous`` is not translated, or None."""
    kind = type(layer).__name__
    if kind not in _TRANSLATIONS:
        return (
            "is not written for Caffe, which is done for chains of "
            f"{', '.join(sorted(_TRANSLATIONS))}"
        )
    nodes = layer._inbound_nodes
    if len(nodes) != 1 or layer.input is not previous:
        return "is not part of a chain, and only chains of layers are written for Caffe"
    if layer.weights and not layer.trainable:
        return "is frozen, and would be trained by Caffe"
    activation = _activation(layer)
    if activation not in _ACTIVATIONS or (activation == "softmax" and not is_last):
        return f"has the activation '{activation}', which is not written for Caffe there"
    return _LIMITS.get(kind, lambda _: None)(layer)


def _obstacle_of_convolution(layer: Any) -> str | None:
    if layer.groups != 1 or tuple(layer.dilation_rate) != (1, 1):
        return "has groups or a dilation, which are not written for Caffe"
    if layer.data_format != "channels_last":
        return "takes images with the channels first"
    uneven = tuple(layer.strides) != (1, 1) or any(side % 2 == 0 for side in layer.kernel_size)
    if layer.padding == "same" and uneven:
        return "pads unequally at opposite sides, and Caffe pads equally"
    return None if layer.padding in ("same", "valid") else f"has the padding '{layer.padding}'"


def _obstacle_of_pooling(layer: Any) -> str | None:
    if layer.padding != "valid" or layer.data_format != "channels_last":
        return "pads, or takes images with the channels first, which is not written for Caffe"
    return None


def _obstacle_of_rescaling(layer: Any) -> str | None:
    if np.ndim(layer.scale) or np.ndim(layer.offset):
        return "has a value for each channel, and Caffe's layer has one for all"
    return None


def _obstacle_of_dense(layer: Any) -> str | None:
    return None if len(layer.input.shape) == 2 else "takes images that are not flattened"


@dataclass
class _Draft:
    """Layers and parameters so far."""

    layers: list[Any] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    #: Name of the blob of the last layer.
    top: str = PIXELS
    #: Height, width and channels of images that have been flattened since the last dense layer.
    flattened: tuple[int, int, int] | None = None

    def add(self, kind: str, name: str, *, in_place: bool = False) -> Any:
        """Add a layer that follows the last one, and return its message."""
        layer = messages()["LayerParameter"](name=name, type=kind, bottom=[self.top])
        if not in_place:
            self.top = f"{name}_output" if name in _RESERVED else name
        layer.top.append(self.top)
        self.layers.append(layer)
        return layer

    def add_parameters(self, layer: Any) -> None:
        """Add kernel and bias of a Keras layer."""
        for number, variable in enumerate(layer.weights):
            flattened = self.flattened if number == 0 else None
            self.parameters.append(Parameter(layer.name, number, tuple(variable.shape), flattened))
        self.flattened = None

    def add_activation(self, layer: Any) -> None:
        """Add the rectifier of a Keras layer; the softmax is a part of the end of the network."""
        if _activation(layer) == "relu":
            self.add("ReLU", f"{layer.name}_relu", in_place=True)


def _rescaling(layer: Any, draft: _Draft) -> None:
    parameter = draft.add("Power", layer.name).power_param
    parameter.scale, parameter.shift = float(layer.scale), float(layer.offset)


def _convolution(layer: Any, draft: _Draft) -> None:
    parameter = draft.add("Convolution", layer.name).convolution_param
    parameter.num_output, parameter.bias_term = layer.filters, layer.use_bias
    parameter.kernel_size.extend(layer.kernel_size)
    parameter.stride.extend(layer.strides)
    if layer.padding == "same":
        parameter.pad.extend((side - 1) // 2 for side in layer.kernel_size)
    draft.add_parameters(layer)
    draft.add_activation(layer)


def _pooling(layer: Any, draft: _Draft) -> None:
    parameter = draft.add("Pooling", layer.name).pooling_param
    parameter.pool = 0  # the maximum
    parameter.kernel_h, parameter.kernel_w = layer.pool_size
    parameter.stride_h, parameter.stride_w = layer.strides
    parameter.round_mode = 1  # down


def _flatten(layer: Any, draft: _Draft) -> None:
    draft.add("Flatten", layer.name)
    if len(layer.input.shape) == 4:
        height, width, channels = layer.input.shape[1:]
        draft.flattened = (height, width, channels)


def _dense(layer: Any, draft: _Draft) -> None:
    parameter = draft.add("InnerProduct", layer.name).inner_product_param
    if _activation(layer) == "softmax":
        draft.layers[-1].top[0] = draft.top = _LOGITS
    parameter.num_output, parameter.bias_term = layer.units, layer.use_bias
    draft.add_parameters(layer)
    draft.add_activation(layer)


def _dropout(layer: Any, draft: _Draft) -> None:
    if layer.rate:  # Caffe refuses 0
        parameter = draft.add("Dropout", layer.name, in_place=True).dropout_param
        parameter.dropout_ratio = layer.rate


_TRANSLATIONS: dict[str, Callable[[Any, _Draft], None]] = {
    "Conv2D": _convolution,
    "Dense": _dense,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "MaxPooling2D": _pooling,
    "Rescaling": _rescaling,
}
_LIMITS: dict[str, Callable[[Any], str | None]] = {
    "Conv2D": _obstacle_of_convolution,
    "Dense": _obstacle_of_dense,
    "MaxPooling2D": _obstacle_of_pooling,
    "Rescaling": _obstacle_of_rescaling,
}


def _training(
    name: str,
    draft: _Draft,
    shape: Sequence[int],
    batch_size: int,
    classes: int,
    class_weights: tuple[float, ...] | None,
) -> Any:
    """Return the definition of the network for training."""
    inputs = [_input(PIXELS, _images(batch_size, shape)), _input(LABELS, [batch_size])]
    if class_weights is None:
        end = [_layer("SoftmaxWithLoss", LOSS, [draft.top, LABELS])]
    else:
        inputs.append(_input(CLASS_WEIGHTS, [1, 1, classes, classes]))
        end = [
            _layer("Softmax", PROBABILITIES, [draft.top]),
            _layer("InfogainLoss", LOSS, [PROBABILITIES, LABELS, CLASS_WEIGHTS]),
        ]
    return messages()["NetParameter"](name=name, layer=[*inputs, *draft.layers, *end])


def _prediction(name: str, draft: _Draft, shape: Sequence[int]) -> Any:
    """Return the definition of the network for prediction."""
    layers = [
        _input(PIXELS, _images(1, shape)),
        *draft.layers,
        _layer("Softmax", PROBABILITIES, [draft.top]),
    ]
    return messages()["NetParameter"](name=name, layer=layers)


def _images(count: int, shape: Sequence[int]) -> list[int]:
    """Return the shape of images in Caffe from their shape in Keras."""
    height, width, channels = shape
    return [count, channels, height, width]


def _input(name: str, dimensions: Sequence[int]) -> Any:
    layer = _layer("Input", name, [])
    layer.input_param.shape.add().dim.extend(dimensions)
    return layer


def _layer(kind: str, top: str, bottoms: Sequence[str]) -> Any:
    """Return a layer that computes the blob ``top``; its name differs from those of Keras."""
    return messages()["LayerParameter"](
        name=f"caffe_{top}", type=kind, bottom=list(bottoms), top=[top]
    )


def _text(message: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(message))


def _activation(layer: Any) -> str:
    """Return the name of the activation of a Keras layer."""
    return str(getattr(getattr(layer, "activation", None), "__name__", "linear"))
