"""Keras layers that compute what a layer of Caffe computes.

Caffe rounds the size of pooled maps up, and divides averages by the part of a window that lies
within the padded image. Its kernels are (outputs, inputs, height, width), and its inner products
read maps in the order channels, height, width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.caffe.definition import Layer
from models.caffe.parameters import pair, values
from models.errors import ModelError

#: Smaller than any activation, for the padding of a maximum.
_LOWEST = -3e38


@dataclass(frozen=True)
class Made:
    """Result of a translation."""

    output: Any
    #: Keras layer with weights, if there is one.
    layer: Any = None
    #: Values of its weights from the file; empty if the file has none.
    weights: Sequence[np.ndarray] = ()


def normalization(layer: Layer, name: str, x: Any, scale: Layer | None) -> Made:
    """Return a batch normalization and the scale after it, or a scale alone, as one Keras layer."""
    from keras import layers

    if layer.type == "Scale":
        return _scale(layer, name, x)
    parameters = layer.parameters.batch_norm_param
    has_offset = scale is not None and scale.parameters.scale_param.bias_term
    made = layers.BatchNormalization(
        momentum=parameters.moving_average_fraction,
        epsilon=parameters.eps,
        scale=scale is not None,
        center=has_offset,
        name=name,
    )
    output = made(x)
    weights: list[np.ndarray] = []
    if layer.blobs:
        mean, variance, factor = (blob.ravel() for blob in layer.blobs)
        divisor = factor[0] or 1.0
        channels = len(mean)
        if scale is not None:
            gamma = scale.blobs[0].ravel() if scale.blobs else np.ones(channels, np.float32)
            weights.append(gamma)
            if has_offset:
                beta = scale.blobs[1].ravel() if scale.blobs else np.zeros(channels, np.float32)
                weights.append(beta)
        weights += [mean / divisor, variance / divisor]
    return Made(output, made, weights)


def _scale(layer: Layer, name: str, x: Any) -> Made:
    from keras import layers

    parameters = layer.parameters.scale_param
    if len(layer.bottoms) != 1 or parameters.axis != 1 or parameters.num_axes != 1:
        raise ModelError(f"layer '{layer.name}' (Scale) must scale each channel of one input")
    if len(x.shape) != 4:
        raise ModelError(f"layer '{layer.name}' (Scale) must scale maps")
    made = layers.DepthwiseConv2D(
        1,
        use_bias=parameters.bias_term,
        depthwise_initializer="ones",
        name=name,
    )
    weights = [layer.blobs[0].reshape(1, 1, -1, 1), *layer.blobs[1:2]] if layer.blobs else []
    return Made(made(x), made, weights)


def _convolution(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    (x,) = inputs
    parameters = layer.parameters.convolution_param
    kernel = pair(parameters, "kernel_size", "kernel", 0)
    strides = pair(parameters, "stride", "stride", 1)
    padding = pair(parameters, "pad", "pad", 0)
    dilation = values(parameters.dilation, 1)
    same = strides == (1, 1) and all(
        2 * added == (extent - 1) * rate
        for added, extent, rate in zip(padding, kernel, dilation, strict=True)
    )
    if not same and any(padding):
        x = layers.ZeroPadding2D(padding, name=f"{name}_padding")(x)
    made = layers.Conv2D(
        parameters.num_output,
        kernel,
        strides=strides,
        padding="same" if same else "valid",
        dilation_rate=dilation,
        groups=parameters.group,
        use_bias=parameters.bias_term,
        name=name,
    )
    weights: list[np.ndarray] = []
    if layer.blobs:
        kernel_values = layer.blobs[0].transpose(2, 3, 1, 0)
        weights = [kernel_values, *(blob.ravel() for blob in layer.blobs[1:2])]
    return Made(made(x), made, weights)


def _inner_product(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    (x,) = inputs
    parameters = layer.parameters.inner_product_param
    if parameters.axis != 1:
        raise ModelError(f"layer '{layer.name}' (InnerProduct) must read whole images (axis 1)")
    maps = tuple(x.shape[1:])
    if len(maps) == 3:
        x = layers.Flatten(name=f"{name}_flatten")(x)
    made = layers.Dense(parameters.num_output, use_bias=parameters.bias_term, name=name)
    weights: list[np.ndarray] = []
    if layer.blobs:
        values = layer.blobs[0].reshape(layer.blobs[0].shape[-2:])
        values = values if parameters.transpose else values.T
        if len(maps) == 3 and len(values) == np.prod(maps):
            height, width, channels = maps
            ordered = values.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
            values = ordered.reshape(len(values), -1)
        weights = [values, *(blob.ravel() for blob in layer.blobs[1:2])]
    return Made(made(x), made, weights)


def _pooling(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    (x,) = inputs
    parameters = layer.parameters.pooling_param
    maximum = parameters.pool == 0
    if parameters.pool not in (0, 1):
        raise ModelError(f"layer '{layer.name}' pools at random, which cannot be translated")
    if parameters.global_pooling:
        kind = layers.GlobalMaxPooling2D if maximum else layers.GlobalAveragePooling2D
        return Made(kind(keepdims=True, name=name)(x))
    kernel = pair(parameters, "kernel_size", "kernel", 0)
    strides = pair(parameters, "stride", "stride", 1)
    padding = pair(parameters, "pad", "pad", 0)
    rounds_up = parameters.round_mode == 0
    if any(
        extent > size + 2 * added
        for extent, size, added in zip(kernel, x.shape[1:3], padding, strict=True)
    ):
        raise ModelError(
            f"layer '{layer.name}' pools {kernel[0]} x {kernel[1]} windows of maps of "
            f"{x.shape[1]} x {x.shape[2]}: use larger images (--image-size)"
        )
    windows = [
        _Windows(*sizes, rounds_up=rounds_up)
        for sizes in zip(x.shape[1:3], kernel, strides, padding, strict=True)
    ]
    ends = tuple((one.before, one.after) for one in windows)
    if maximum:
        same = all(one.are_same for one in windows)
        if not same and any(sum(pair) for pair in ends):
            x = _padded(x, ends, _LOWEST)
        padding_of = "same" if same else "valid"
        return Made(layers.MaxPooling2D(kernel, strides, padding=padding_of, name=name)(x))
    if any(sum(pair) for pair in ends):
        x = layers.ZeroPadding2D(ends, name=f"{name}_padding")(x)
    x = layers.AveragePooling2D(kernel, strides, name=name)(x)
    counts = np.outer(windows[0].counts, windows[1].counts)
    factors = (np.prod(kernel) / counts).astype(np.float32)
    if np.any(factors != 1):
        x = x * factors[None, :, :, None]
    return Made(x)


class _Windows:
    """Windows of a pooling along one axis, as Caffe places them."""

    def __init__(
        self, size: int, extent: int, stride: int, padding: int, *, rounds_up: bool
    ) -> None:
        steps = (size + 2 * padding - extent) / stride
        number = int(np.ceil(steps) if rounds_up else np.floor(steps)) + 1
        if padding and (number - 1) * stride >= size + padding:
            number -= 1  # the last window would begin outside the image
        starts = np.arange(number) * stride - padding
        self.before = padding
        #: Rows or columns to add so that the last window is complete.
        self.after = max(0, int(starts[-1]) + extent - size)
        total = max(0, (-(-size // stride) - 1) * stride + extent - size)
        #: True if they are those of the padding "same" of Keras, which every backend knows.
        self.are_same = (
            number == -(-size // stride)
            and (self.before, self.after) == (total // 2, total - total // 2)
            and total > 0
        )
        #: Elements of each window within the padded image, shape (number,).
        self.counts = np.minimum(starts + extent, size + padding) - starts


def _padded(x: Any, ends: tuple[tuple[int, int], ...], value: float) -> Any:
    from keras import ops

    return ops.pad(x, ((0, 0), *ends, (0, 0)), constant_values=value)


def _lrn(layer: Layer, name: str, inputs: list[Any]) -> Made:
    """Divide by the squares of neighboring channels (A. Krizhevsky et al., 2012, section 3.3)."""
    from keras import ops

    (x,) = inputs
    parameters = layer.parameters.lrn_param
    if parameters.norm_region != 0:
        raise ModelError(f"layer '{layer.name}' (LRN) must normalize across channels")
    channels, reach = x.shape[-1], parameters.local_size // 2
    numbers = np.arange(channels)
    neighbors = np.abs(numbers[:, None] - numbers[None, :]) <= reach
    sums = ops.matmul(ops.square(x), neighbors.astype(np.float32))
    divisor = parameters.k + (parameters.alpha / parameters.local_size) * sums
    return Made(x * ops.power(divisor, -parameters.beta))


def _relu(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    slope = layer.parameters.relu_param.negative_slope
    if slope:
        return Made(layers.LeakyReLU(negative_slope=slope, name=name)(inputs[0]))
    return Made(layers.Activation("relu", name=name)(inputs[0]))


def _prelu(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    (x,) = inputs
    axes = [1, 2, 3] if layer.parameters.prelu_param.channel_shared else [1, 2]
    shared = [axis for axis in axes if axis < len(x.shape)] if len(x.shape) == 4 else None
    made = layers.PReLU(alpha_initializer="zeros", shared_axes=shared, name=name)
    output = made(x)
    shape = tuple(made.weights[0].shape)
    return Made(output, made, [blob.reshape(shape) for blob in layer.blobs[:1]])


def _elu(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    return Made(layers.ELU(alpha=layer.parameters.elu_param.alpha, name=name)(inputs[0]))


def _activation(function: str) -> Callable[[Layer, str, list[Any]], Made]:
    def activate(_: Layer, name: str, inputs: list[Any]) -> Made:
        from keras import layers

        return Made(layers.Activation(function, name=name)(inputs[0]))

    return activate


def _eltwise(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    parameters = layer.parameters.eltwise_param
    coefficients = list(parameters.coeff) or [1.0] * len(inputs)
    if parameters.operation == 1:
        if any(factor != 1 for factor in coefficients):
            inputs = [x * factor for x, factor in zip(inputs, coefficients, strict=True)]
        return Made(layers.Add(name=name)(inputs))
    kind = layers.Multiply if parameters.operation == 0 else layers.Maximum
    return Made(kind(name=name)(inputs))


def _concat(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    parameters = layer.parameters.concat_param
    if parameters.axis != 1 or parameters.concat_dim != 1:
        raise ModelError(f"layer '{layer.name}' (Concat) must join channels (axis 1)")
    return Made(layers.Concatenate(axis=-1, name=name)(inputs))


def _dropout(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    return Made(layers.Dropout(layer.parameters.dropout_param.dropout_ratio, name=name)(inputs[0]))


def _flatten(layer: Layer, name: str, inputs: list[Any]) -> Made:
    """Flatten maps in Caffe's order, channels first."""
    from keras import layers

    (x,) = inputs
    parameters = layer.parameters.flatten_param
    if parameters.axis != 1 or parameters.end_axis not in (-1, 3):
        raise ModelError(f"layer '{layer.name}' (Flatten) must flatten whole images")
    return Made(_in_caffes_order(x, name, layers))


def _reshape(layer: Layer, name: str, inputs: list[Any]) -> Made:
    from keras import layers

    (x,) = inputs
    shape = tuple(layer.parameters.reshape_param.shape.dim)
    if shape not in {(0, -1), (-1, int(np.prod(x.shape[1:])))}:
        raise ModelError(f"layer '{layer.name}' (Reshape) must give vectors, not {shape}")
    return Made(_in_caffes_order(x, name, layers))


def _in_caffes_order(x: Any, name: str, layers: Any) -> Any:
    if len(x.shape) == 2:
        return x
    if tuple(x.shape[1:3]) != (1, 1):
        x = layers.Permute((3, 1, 2), name=f"{name}_permute")(x)
    return layers.Flatten(name=name)(x)


#: Functions that translate a layer, by its type in Caffe, from the name of the Keras layer and
#: its inputs: Keras tensors, maps as (n, height, width, channels).
TRANSLATIONS: dict[str, Callable[[Layer, str, list[Any]], Made]] = {
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": _prelu,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Sigmoid": _activation("sigmoid"),
    "TanH": _activation("tanh"),
}
