"""Translation of a functional Keras model to BigDL's Keras-style model, layer by layer.

``obstacle`` reports what cannot be translated, without starting BigDL. The translation takes
these properties of BigDL 2.4 into account:

- A convolution with one group per channel followed by a 1 x 1 convolution trains three to five
  times as fast as ``SeparableConvolution2D`` in either ordering.
- ``Flatten`` follows the ordering: channels are moved last before it, so that the next dense
  layer has the same order of inputs as in Keras.
- The momentum of ``BatchNormalization`` is one minus the momentum in Keras.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.bigdl.weights import (
    ConvolutionWeights,
    DenseWeights,
    DepthwiseWeights,
    LayerWeights,
    NormalizationWeights,
    Ordering,
    SeparableWeights,
)
from backends.errors import BackendError

if TYPE_CHECKING:
    import keras

#: Activations that are the same function in both frameworks.
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")


class Network:
    """BigDL translation of a Keras model, with weights in Keras's order.

    Parameters
    ----------
    model
        Functional model of one input and one output for which ``obstacle`` returns None.
    ordering
        Position of the channels of images in BigDL: ``th`` first, ``tf`` last.

    Raises
    ------
    BackendError
        If a layer cannot be translated; the message names it.
    """

    def __init__(self, model: "keras.Model", ordering: Ordering) -> None:
        from bigdl.dllib.keras.models import Model

        reason = obstacle(model)
        if reason is not None:
            raise BackendError(reason)
        self._weights: list[LayerWeights] = []
        self._ordering: Ordering = ordering
        nodes: dict[int, Any] = {}
        for layer in model.layers:
            incoming = [nodes[id(tensor)] for tensor in _tensors(layer.input)] if nodes else []
            nodes[id(layer.output)] = self._connect(layer, incoming)
        ends = [nodes[id(tensor)] for tensor in (model.inputs[0], model.outputs[0])]
        #: BigDL's model.
        self.model = Model(*ends)
        self.set_weights(model.get_weights())

    @property
    def has_statistics(self) -> bool:
        """True if the network has batch normalization, which keeps running statistics."""
        return any(isinstance(weights, NormalizationWeights) for weights in self._weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return float32 weights in the order of ``keras.Model.get_weights()``."""
        return [array for weights in self._weights for array in weights.read()]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Set weights given in the order of ``keras.Model.get_weights()``."""
        remaining = iter(values)
        for weights in self._weights:
            weights.write(list(islice(remaining, weights.count)))

    def _connect(self, layer: "keras.Layer", incoming: list[Any]) -> Any:
        """Connect a layer to the BigDL nodes ``incoming``; return the node of its output."""
        from bigdl.dllib.keras.engine.topology import Input, merge

        kind = type(layer).__name__
        if kind == "InputLayer":
            return Input(shape=_shape(layer.output, self._ordering))
        if kind == "Add":
            return merge(incoming, mode="sum", name=layer.name)
        (node,) = incoming
        translated, weights = _TRANSLATIONS[kind](layer, self._ordering)
        for part in translated:
            node = part(node)
        self._weights += weights
        return node


def obstacle(model: "keras.Model") -> str | None:  # noqa: PLR0911
    """Return why ``model`` cannot be translated, naming the layer, or None; BigDL is not needed."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return f"{model.name}: only models of one input and one output are translated to BigDL"
    known: set[int] = set()
    for layer in model.layers:
        kind = type(layer).__name__
        where = f"layer '{layer.name}' ({kind})"
        if kind not in {"InputLayer", "Add", *_TRANSLATIONS}:
            return f"{where} cannot be translated: no equivalent layer in BigDL is known"
        if known and not {id(tensor) for tensor in _tensors(layer.input)} <= known:
            return f"{where} is reused from another model"
        known.add(id(layer.output))
        if layer.weights and not layer.trainable:
            return f"{where} is frozen, and its BigDL translation would be trained"
        differing = [
            f"{name}={getattr(layer, name)!r}"
            for name, translated in _ONLY.get(kind, {}).items()
            if getattr(layer, name) not in translated
        ]
        if differing:
            return f"{where} has {', '.join(differing)}, which cannot be translated to BigDL"
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if activation not in ACTIVATIONS:
            return f"{where} has the activation '{activation}', not one of {', '.join(ACTIVATIONS)}"
        if kind == "Rescaling" and np.ndim(layer.scale) + np.ndim(layer.offset) > 0:
            return f"{where} has a value for each channel, and BigDL's layers have one for all"
        if activation == "softmax" and len(layer.output.shape) != 2:
            return f"{where} has a softmax over the channels of images, which differs in BigDL"
    for entry in model.get_config()["layers"]:
        if len(entry["inbound_nodes"]) > 1:
            return f"layer '{entry['name']}' ({entry['class_name']}) is used more than once"
    return None


Translation = tuple[list[Any], list[LayerWeights]]


def _rescaling(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import AddConstant, MulConstant

    parts = [MulConstant(layer.scale, name=layer.name)]
    if layer.offset:
        parts.append(AddConstant(layer.offset))
    return parts, []


def _convolution(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Convolution2D

    convolution = Convolution2D(
        layer.filters,
        *layer.kernel_size,
        subsample=layer.strides,
        border_mode=layer.padding,
        dim_ordering=ordering,
        bias=layer.use_bias,
        name=layer.name,
    )
    weights = ConvolutionWeights(convolution, ordering, layer.use_bias)
    return [convolution, *_activation_of(layer)], [weights]


def _separable(layer: Any, ordering: Ordering) -> Translation:
    if ordering == "tf":
        return _separable_channels_last(layer)
    from bigdl.dllib.keras.layers import Convolution2D, KerasLayerWrapper
    from bigdl.dllib.nn.layer import SpatialConvolution

    channels = layer.input.shape[-1]
    height, width = layer.kernel_size
    padding = -1 if layer.padding == "same" else 0  # -1 is "same" padding of Keras
    grouped = SpatialConvolution(
        channels,
        channels,
        width,
        height,
        *reversed(layer.strides),
        padding,
        padding,
        n_group=channels,
        with_bias=False,
    )
    depthwise = KerasLayerWrapper(grouped, name=f"{layer.name}_depthwise")
    pointwise = Convolution2D(
        layer.filters, 1, 1, dim_ordering="th", bias=layer.use_bias, name=layer.name
    )
    weights: list[LayerWeights] = [
        DepthwiseWeights(depthwise, "th", bias=False),
        ConvolutionWeights(pointwise, "th", layer.use_bias),
    ]
    return [depthwise, pointwise, *_activation_of(layer)], weights


def _separable_channels_last(layer: Any) -> Translation:
    from bigdl.dllib.keras.layers import SeparableConvolution2D

    separable = SeparableConvolution2D(
        layer.filters,
        *layer.kernel_size,
        subsample=layer.strides,
        border_mode=layer.padding,
        dim_ordering="tf",
        bias=layer.use_bias,
        name=layer.name,
    )
    return [separable, *_activation_of(layer)], [SeparableWeights(separable, layer.use_bias)]


def _dense(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Dense

    dense = Dense(layer.units, bias=layer.use_bias, name=layer.name)
    return [dense, *_activation_of(layer)], [DenseWeights(dense, ordering, layer.use_bias)]


def _normalization(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import BatchNormalization

    normalization = BatchNormalization(
        epsilon=layer.epsilon,
        momentum=1 - layer.momentum,
        axis=1 if ordering == "th" else -1,
        dim_ordering=ordering,
        name=layer.name,
    )
    return [normalization], [NormalizationWeights(normalization)]


def _max_pooling(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import MaxPooling2D

    pooling = MaxPooling2D(
        pool_size=layer.pool_size,
        strides=layer.strides,
        border_mode=layer.padding,
        dim_ordering=ordering,
        name=layer.name,
    )
    return [pooling], []


def _global_pooling(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import GlobalAveragePooling2D

    return [GlobalAveragePooling2D(dim_ordering=ordering, name=layer.name)], []


def _flatten(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Flatten, Permute

    moved = [Permute((2, 3, 1))] if ordering == "th" and len(layer.input.shape) == 4 else []
    return [*moved, Flatten(name=layer.name)], []


def _dropout(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Dropout

    return [Dropout(layer.rate, name=layer.name)], []


def _activation(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Activation

    return [Activation(layer.activation.__name__, name=layer.name)], []


def _activation_of(layer: Any) -> list[Any]:
    """Return the activation of a Keras layer as a separate layer; empty if it is linear."""
    from bigdl.dllib.keras.layers import Activation

    name = layer.activation.__name__
    return [] if name == "linear" else [Activation(name, name=f"{layer.name}_{name}")]


_TRANSLATIONS: dict[str, Callable[[Any, Ordering], Translation]] = {
    "Activation": _activation,
    "BatchNormalization": _normalization,
    "Conv2D": _convolution,
    "Dense": _dense,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_pooling,
    "MaxPooling2D": _max_pooling,
    "Rescaling": _rescaling,
    "SeparableConv2D": _separable,
}
_LAST = {"data_format": ("channels_last",)}
_PLAIN_CONVOLUTION = {**_LAST, "dilation_rate": ((1, 1),)}
#: Settings of Keras layers of which only some values can be translated.
_ONLY: dict[str, dict[str, tuple[Any, ...]]] = {
    "BatchNormalization": {"axis": (-1, 3), "center": (True,), "scale": (True,)},
    "Conv2D": {**_PLAIN_CONVOLUTION, "groups": (1,)},
    "GlobalAveragePooling2D": {**_LAST, "keepdims": (False,)},
    "MaxPooling2D": _LAST,
    "SeparableConv2D": {**_PLAIN_CONVOLUTION, "depth_multiplier": (1,)},
}


def _tensors(tensors: Any) -> list[Any]:
    return tensors if isinstance(tensors, list) else [tensors]


def _shape(tensor: Any, ordering: Ordering) -> tuple[int, ...]:
    """Return the shape of one sample in BigDL's ordering; Keras's has the channels last."""
    shape = tuple(tensor.shape[1:])
    return (shape[2], shape[0], shape[1]) if ordering == "th" and len(shape) == 3 else shape
