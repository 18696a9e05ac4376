"""Forward pass of a functional Keras model in PyTorch, layer by layer.

Keras's layers on PyTorch transpose images and kernels at every call, which makes a step of
``small_cnn`` about three times as slow as a step of TensorFlow. Here a layer with an equivalent in
PyTorch calls that equivalent, with the variables of the Keras layer as its parameters; every other
layer is called itself on transposed tensors. The Keras model remains the owner of all weights, so
that its weights, its optimizer and its random generators can be used as usual.

Tensors of images have the shape (n, c, h, w) and PyTorch's memory format ``channels_last``, which
is faster than the other one on CPUs, and in which transposing them for a Keras layer copies
nothing. Kernels keep Keras's shape, but their elements are stored in the order in which PyTorch
reads them. A rectifier between a convolution and a maximum pooling is computed after the pooling,
which gives the same values and gradients from a quarter of the elements.

This module imports PyTorch and Keras, so it is imported only where both are needed.
"""

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.nn import functional

#: Activations that do not depend on the position of the channels.
_ELEMENTWISE = frozenset(
    ("elu", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "relu", "relu6", "selu",
     "sigmoid", "silu", "softplus", "softsign", "tanh")
)  # fmt: skip
_IMAGE_AXES = (0, 3, 1, 2)
_KERAS_AXES = (0, 2, 3, 1)

#: Function that computes the outputs of a layer, with True in training as its last argument.
_Call = Callable[..., Any]


class TorchNetwork(torch.nn.Module):
    """Module whose parameters are the weights of a functional Keras model.

    Parameters
    ----------
    model
        Functional model of one input and one output, built on Keras's torch backend. The memory of
        its kernels is rearranged in place.
    """

    def __init__(self, model: "keras.Model") -> None:
        super().__init__()
        self.model = model
        self._dtype = getattr(torch, keras.backend.standardize_dtype(model.inputs[0].dtype))
        self._calls: dict[int, _Call] = {}
        #: Identities of the tensors that are arguments of operations without being computed.
        self._constants: set[int] = set()
        self._prepare(model)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the model.

        Parameters
        ----------
        pixels
            Tensor of any numeric dtype, shape (n, h, w, c).
        """
        inputs = _first(pixels.to(self._dtype))
        return _last(self._run(self.model, inputs, training=self.training))

    def _run(self, model: "keras.Model", inputs: Any, *, training: bool) -> Any:
        def call_of(operation: Any) -> _Call:
            call = self._calls[id(operation)]

            # A layer may have been connected with a fixed mode; masks are for sequences.
            def run(
                *values: Any, training: bool | None = None, mask: Any = None, **others: Any
            ) -> Any:
                return call(*values, training=mode if training is None else training, **others)

            return run

        mode = training
        return model._run_through_graph([inputs], operation_fn=call_of)

    def _prepare(self, model: "keras.Model") -> None:
        """Define how each operation of ``model``, and of the models in it, is computed."""
        later = _rectified_after_pooling(model)
        for operation in model.operations:
            self._constants |= _constants_of(operation)
            if isinstance(operation, keras.models.Model) and hasattr(operation, "operations"):
                self._prepare(operation)
                self._calls[id(operation)] = self._nested(operation)
                continue
            is_layer = isinstance(operation, keras.Layer)  # operations may have the same names
            make = _EQUIVALENTS.get(type(operation).__name__) if is_layer else None
            if id(operation) in later:
                make = _unrectified_convolution
            call = make(operation) if make else None
            if call is not None and _source_of(operation) in later:
                call = _then_rectified(call)
            self._calls[id(operation)] = call or self._transposed(operation)

    def _nested(self, model: "keras.Model") -> _Call:
        return lambda inputs, training: self._run(model, inputs, training=training)

    def _transposed(self, operation: Any) -> _Call:
        """Return a call of a Keras layer or operation on transposed tensors."""
        takes_mode = getattr(operation, "_call_has_training_arg", False)

        def last(value: Any) -> Any:
            return value if id(value) in self._constants else _last(value)

        def call(*values: Any, training: bool, **others: Any) -> Any:
            mode = {"training": training} if takes_mode else {}
            arguments = keras.tree.map_structure(last, values)
            return keras.tree.map_structure(_first, operation(*arguments, **others, **mode))

        return call


def _first(value: Any) -> Any:
    """Move the channels of a Keras tensor of images first."""
    is_image = isinstance(value, torch.Tensor) and value.dim() == 4
    return value.permute(_IMAGE_AXES) if is_image else value


def _last(value: Any) -> Any:
    """Move the channels of a tensor of images last, as in Keras."""
    is_image = isinstance(value, torch.Tensor) and value.dim() == 4
    return value.permute(_KERAS_AXES) if is_image else value


def _constants_of(operation: Any) -> set[int]:
    """Return the identities of the tensors that ``operation`` has been called with."""
    given = [node.arguments for node in operation._inbound_nodes]
    tensors = keras.tree.flatten([(found.args, found.kwargs) for found in given])
    return {id(tensor) for tensor in tensors if isinstance(tensor, torch.Tensor)}


def _source_of(operation: Any) -> int:
    """Return the identity of the operation that computes the only input of ``operation``."""
    nodes = operation._inbound_nodes
    parents = nodes[0].parent_nodes if len(nodes) == 1 else []
    return id(parents[0].operation) if len(parents) == 1 else 0


def _rectified_after_pooling(model: "keras.Model") -> set[int]:
    """Return the convolutions whose rectifier can be computed after a maximum pooling."""
    found = set()
    for operation in model.operations:
        if type(operation).__name__ != "Conv2D" or operation.activation.__name__ != "relu":
            continue
        users = [node.operation for node in operation._outbound_nodes]
        ends = any(operation.output is output for output in model.outputs)
        pooled = len(users) == 1 and type(users[0]).__name__ == "MaxPooling2D"
        # A pooling that is used elsewhere, too, must not rectify there.
        pooled = pooled and _source_of(users[0]) == id(operation)
        if pooled and not ends and _convolution(operation) and _max_pooling(users[0]):
            found.add(id(operation))
    return found


def _then_rectified(call: _Call) -> _Call:
    return lambda value, training: functional.relu(call(value, training=training))


def _activated(layer: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the activation of a layer for tensors of images; None if it is not elementwise."""
    function = layer.activation
    name = getattr(function, "__name__", "")
    if name == "linear":
        return lambda value: value
    if name == "relu":
        return functional.relu
    return function if name in _ELEMENTWISE else None


def _padding(layer: Any, size: torch.Size, kernel: tuple[int, int]) -> list[int]:
    """Return the rows and columns to add: top, bottom, left and right, as TensorFlow does."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    dilation = getattr(layer, "dilation_rate", (1, 1))
    added = []
    for length, extent, stride, rate in zip(size, kernel, layer.strides, dilation, strict=True):
        steps = -(-length // stride)
        total = max(0, (steps - 1) * stride + (extent - 1) * rate + 1 - length)
        added += [total // 2, total - total // 2]
    return added


def _padded(
    layer: Any, value: torch.Tensor, kernel: tuple[int, int], fill: float
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the images and the symmetric padding that remains to be done by PyTorch."""
    top, bottom, left, right = _padding(layer, value.shape[2:], kernel)
    if top == bottom and left == right:
        return value, (top, left)
    return functional.pad(value, (left, right, top, bottom), value=fill), (0, 0)


def _store(variable: Any, order: tuple[int, ...]) -> torch.nn.Parameter:
    """Store the elements of a kernel as PyTorch reads them, and return its parameter.

    Parameters
    ----------
    variable
        Variable of a Keras layer with four axes.
    order
        Axes of the variable in the order of PyTorch.
    """
    parameter = variable.value
    back = tuple(order.index(axis) for axis in range(len(order)))
    kernel = parameter.data.permute(order).contiguous(memory_format=torch.channels_last)
    parameter.data = kernel.permute(back)
    return parameter


def _value(variable: Any) -> torch.Tensor | None:
    return None if variable is None else variable.value


def _convolution(layer: Any, *, rectified: bool = True) -> _Call | None:
    activation = _activated(layer)
    if layer.data_format != "channels_last" or activation is None:
        return None
    order = (3, 2, 0, 1)
    kernel, bias = _store(layer.kernel, order), _value(layer.bias)

    def call(value: torch.Tensor, *, training: bool) -> torch.Tensor:
        value, padding = _padded(layer, value, layer.kernel_size, 0.0)
        result = functional.conv2d(
            value,
            kernel.permute(order),
            bias,
            layer.strides,
            padding,
            layer.dilation_rate,
            layer.groups,
        )
        return activation(result) if rectified else result

    return call


def _unrectified_convolution(layer: Any) -> _Call | None:
    return _convolution(layer, rectified=False)


def _depthwise(layer: Any, variable: Any, bias: torch.Tensor | None) -> Any:
    """Return a function that convolves each channel with its own kernels."""
    order = (2, 3, 0, 1)
    kernel = _store(variable, order)
    height, width, channels, multiplier = kernel.shape

    def convolve(value: torch.Tensor) -> torch.Tensor:
        value, padding = _padded(layer, value, (height, width), 0.0)
        weights = kernel.permute(order).reshape(channels * multiplier, 1, height, width)
        return functional.conv2d(
            value, weights, bias, layer.strides, padding, layer.dilation_rate, channels
        )

    return convolve


def _depthwise_convolution(layer: Any) -> _Call | None:
    activation = _activated(layer)
    if layer.data_format != "channels_last" or activation is None:
        return None
    convolve = _depthwise(layer, layer.kernel, _value(layer.bias))
    return lambda value, training: activation(convolve(value))


def _separable_convolution(layer: Any) -> _Call | None:
    activation = _activated(layer)
    if layer.data_format != "channels_last" or activation is None:
        return None
    order = (3, 2, 0, 1)
    convolve = _depthwise(layer, layer.depthwise_kernel, None)
    pointwise, bias = _store(layer.pointwise_kernel, order), _value(layer.bias)
    return lambda value, training: activation(
        functional.conv2d(convolve(value), pointwise.permute(order), bias)
    )


def _normalization(layer: Any) -> _Call | None:
    if layer.axis not in (-1, 3) or len(layer.input.shape) != 4:
        return None
    scale, offset = _value(layer.gamma), _value(layer.beta)
    mean, variance = layer.moving_mean.value, layer.moving_variance.value

    def call(value: torch.Tensor, *, training: bool) -> torch.Tensor:
        if not (training and layer.trainable):
            return functional.batch_norm(value, mean, variance, scale, offset, eps=layer.epsilon)
        result, found, inverse = torch.native_batch_norm(
            value, scale, offset, None, None, True, 0.0, layer.epsilon
        )
        with torch.no_grad():  # the variance of the batch itself, without Bessel's correction
            mean.lerp_(found, 1 - layer.momentum)
            variance.lerp_(inverse.pow(-2).sub_(layer.epsilon), 1 - layer.momentum)
        return result

    return call


def _max_pooling(layer: Any) -> _Call | None:
    if layer.data_format != "channels_last":
        return None

    def call(value: torch.Tensor, *, training: bool) -> torch.Tensor:
        value, padding = _padded(layer, value, layer.pool_size, float("-inf"))
        return functional.max_pool2d(value, layer.pool_size, layer.strides, padding)

    return call


def _average_pooling(layer: Any) -> _Call | None:
    if layer.data_format != "channels_last" or layer.padding != "valid":
        return None  # PyTorch counts the padding
    return lambda value, training: functional.avg_pool2d(value, layer.pool_size, layer.strides)


def _global_pooling(layer: Any) -> _Call | None:
    if layer.data_format != "channels_last":
        return None
    return lambda value, training: value.mean((2, 3), keepdim=layer.keepdims)


def _flatten(layer: Any) -> _Call | None:
    return lambda value, training: _last(value).reshape(value.shape[0], -1)


def _dense(layer: Any) -> _Call | None:
    if len(layer.input.shape) != 2 or getattr(layer, "lora_enabled", False):
        return None
    kernel, bias, activation = layer.kernel.value, _value(layer.bias), layer.activation

    def call(value: torch.Tensor, *, training: bool) -> torch.Tensor:
        result = functional.linear(value, kernel.t(), bias)
        if activation.__name__ == "softmax":
            return functional.softmax(result, -1)
        return activation(result)

    return call


def _rescaling(layer: Any) -> _Call | None:
    if not (isinstance(layer.scale, int | float) and isinstance(layer.offset, int | float)):
        return None
    return lambda value, training: value * layer.scale + layer.offset


def _activation(layer: Any) -> _Call | None:
    activation = _activated(layer)
    return None if activation is None else lambda value, training: activation(value)


def _sum(_: Any) -> _Call | None:
    def call(*values: Any, training: bool) -> Any:
        first, *others = keras.tree.flatten(values)  # a list, or one argument for each tensor
        for other in others:
            first = first + other
        return first

    return call


def _concatenate(layer: Any) -> _Call | None:
    if len(layer.output.shape) != 4 or layer.axis not in (-1, 3):
        return None
    return lambda *values, training: torch.cat(keras.tree.flatten(values), 1)


def _zero_padding(layer: Any) -> _Call | None:
    if layer.data_format != "channels_last":
        return None
    (top, bottom), (left, right) = layer.padding
    return lambda value, training: functional.pad(value, (left, right, top, bottom))


#: Functions that return the equivalent of a Keras layer, or None if its settings have none.
_EQUIVALENTS: dict[str, Callable[[Any], _Call | None]] = {
    "Activation": _activation,
    "Add": _sum,
    "AveragePooling2D": _average_pooling,
    "BatchNormalization": _normalization,
    "Concatenate": _concatenate,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_convolution,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_pooling,
    "MaxPooling2D": _max_pooling,
    "Rescaling": _rescaling,
    "SeparableConv2D": _separable_convolution,
    "ZeroPadding2D": _zero_padding,
}
