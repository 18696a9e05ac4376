"""Translations of single Keras layers to BigDL's Keras-style layers.

They take these properties of BigDL 2.4 into account:

- A convolution with one group per channel followed by a 1 x 1 convolution trains three to five
  times as fast as ``SeparableConvolution2D`` in either ordering.
- ``Flatten`` follows the ordering: channels are moved last before it, so that the next dense
  layer has the same order of inputs as in Keras.
- The momentum of ``BatchNormalization`` is one minus the momentum in Keras.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backends.bigdl.graph import ChannelNormalization
from backends.bigdl.weights import (
    ConvolutionWeights,
    DenseWeights,
    DepthwiseWeights,
    GroupedWeights,
    LayerWeights,
    NormalizationWeights,
    Ordering,
    SeparableWeights,
)

#: BigDL layers, to be applied one after the other, and their weights.
Translation = tuple[list[Any], list[LayerWeights]]


def _rescaling(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import AddConstant, MulConstant

    if has_values_by_channel(layer):
        return [_rescaling_by_channel(layer)], []
    parts = [MulConstant(layer.scale, name=layer.name)]
    if layer.offset:
        parts.append(AddConstant(layer.offset))
    return parts, []


def has_values_by_channel(rescaling: Any) -> bool:
    """Return whether a Keras ``Rescaling`` has a scale or an offset for each channel."""
    return bool(np.ndim(rescaling.scale) or np.ndim(rescaling.offset))


def _rescaling_by_channel(layer: Any) -> Any:
    """Return a frozen 1 x 1 convolution of each channel, since BigDL's constants are scalars."""
    from bigdl.dllib.keras.layers import KerasLayerWrapper
    from bigdl.dllib.nn.layer import SpatialConvolution

    channels = layer.input.shape[-1]
    scale, offset = (
        np.broadcast_to(np.asarray(value, np.float32), channels)
        for value in (layer.scale, layer.offset)
    )
    convolution = SpatialConvolution(channels, channels, 1, 1, n_group=channels)
    convolution.set_weights([scale.reshape(-1, 1, 1, 1, 1), np.array(offset)])
    convolution.freeze()
    return KerasLayerWrapper(convolution, name=layer.name)


def _convolution(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Convolution2D

    if layer.groups > 1:
        return _grouped_convolution(layer)
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


def _grouped_convolution(layer: Any) -> Translation:
    grouped = _grouped(layer, layer.filters, layer.groups, bias=layer.use_bias, name=layer.name)
    weights = GroupedWeights(grouped, layer.groups, layer.use_bias)
    return [grouped, *_activation_of(layer)], [weights]


def _depthwise(layer: Any, _: Ordering) -> Translation:
    channels = layer.input.shape[-1]
    depthwise = _grouped(layer, channels, channels, bias=layer.use_bias, name=layer.name)
    weights = DepthwiseWeights(depthwise, "th", layer.use_bias)
    return [depthwise, *_activation_of(layer)], [weights]


def _grouped(layer: Any, filters: int, groups: int, *, bias: bool, name: str) -> Any:
    """Return a convolution with several groups, which BigDL has with channels first only."""
    from bigdl.dllib.keras.layers import KerasLayerWrapper
    from bigdl.dllib.nn.layer import SpatialConvolution

    height, width = layer.kernel_size
    padding = -1 if layer.padding == "same" else 0  # -1 is "same" padding of Keras
    convolution = SpatialConvolution(
        layer.input.shape[-1],
        filters,
        width,
        height,
        *reversed(layer.strides),
        padding,
        padding,
        n_group=groups,
        with_bias=bias,
    )
    return KerasLayerWrapper(convolution, name=name)


def _separable(layer: Any, ordering: Ordering) -> Translation:
    if ordering == "tf":
        return _separable_channels_last(layer)
    from bigdl.dllib.keras.layers import Convolution2D

    channels = layer.input.shape[-1]
    depthwise = _grouped(layer, channels, channels, bias=False, name=f"{layer.name}_depthwise")
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


def _average_pooling(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import AveragePooling2D

    pooling = AveragePooling2D(
        pool_size=layer.pool_size, strides=layer.strides, dim_ordering=ordering, name=layer.name
    )
    return [pooling], []


def _global_average_pooling(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import GlobalAveragePooling2D

    return _global(layer, GlobalAveragePooling2D, ordering)


def _global_max_pooling(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import GlobalMaxPooling2D

    return _global(layer, GlobalMaxPooling2D, ordering)


def _global(layer: Any, kind: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import Reshape

    pooling = kind(dim_ordering=ordering, name=layer.name)
    if not layer.keepdims:
        return [pooling], []
    channels = layer.output.shape[-1]
    shape = (channels, 1, 1) if ordering == "th" else (1, 1, channels)
    return [pooling, Reshape(shape)], []


def _zero_padding(layer: Any, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import ZeroPadding2D

    rows, columns = layer.padding
    return [ZeroPadding2D((*rows, *columns), dim_ordering=ordering, name=layer.name)], []


def _channel_normalization(layer: ChannelNormalization, ordering: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import LRN2D

    normalization = LRN2D(
        layer.alpha, layer.k, layer.beta, layer.size, dim_ordering=ordering, name=layer.name
    )
    return [normalization], []


def _leaky_relu(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import LeakyReLU

    return [LeakyReLU(layer.negative_slope, name=layer.name)], []


def _elu(layer: Any, _: Ordering) -> Translation:
    from bigdl.dllib.keras.layers import ELU

    return [ELU(layer.alpha, name=layer.name)], []


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


#: Functions that translate a step of one input, by its kind.
TRANSLATIONS: dict[str, Callable[[Any, Ordering], Translation]] = {
    "Activation": _activation,
    "AveragePooling2D": _average_pooling,
    "BatchNormalization": _normalization,
    "ChannelNormalization": _channel_normalization,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _dropout,
    "ELU": _elu,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_average_pooling,
    "GlobalMaxPooling2D": _global_max_pooling,
    "LeakyReLU": _leaky_relu,
    "MaxPooling2D": _max_pooling,
    "Rescaling": _rescaling,
    "SeparableConv2D": _separable,
    "ZeroPadding2D": _zero_padding,
}
#: Mode of BigDL's merge for each step of several inputs.
MERGES = {"Add": "sum", "Concatenate": "concat", "Maximum": "max", "Multiply": "mul"}
#: Steps that BigDL has with channels first only.
CHANNELS_FIRST: dict[str, Callable[[Any], bool]] = {
    "Conv2D": lambda layer: layer.groups > 1,
    "DepthwiseConv2D": lambda _: True,
    "Rescaling": has_values_by_channel,
}
_LAST = {"data_format": ("channels_last",)}
_PLAIN_CONVOLUTION = {**_LAST, "dilation_rate": ((1, 1),)}
#: Settings of Keras layers of which only some values can be translated.
ONLY: dict[str, dict[str, tuple[Any, ...]]] = {
    "AveragePooling2D": {**_LAST, "padding": ("valid",)},
    "BatchNormalization": {"axis": (-1, 3), "center": (True,), "scale": (True,)},
    "Concatenate": {"axis": (-1,)},
    "Conv2D": _PLAIN_CONVOLUTION,
    "DepthwiseConv2D": {**_PLAIN_CONVOLUTION, "depth_multiplier": (1,)},
    "GlobalAveragePooling2D": _LAST,
    "GlobalMaxPooling2D": _LAST,
    "MaxPooling2D": _LAST,
    "SeparableConv2D": {**_PLAIN_CONVOLUTION, "depth_multiplier": (1,)},
    "ZeroPadding2D": _LAST,
}
