"""Initial weights as the fillers of a Caffe network define them, drawn from a seed."""

from dataclasses import replace
from typing import Any

import numpy as np

from models.caffe.definition import Layer
from models.caffe.parameters import pair, weight_parameters

#: Types that are drawn as in Caffe; layers with another one get the project's initial weights.
TYPES = ("constant", "uniform", "gaussian", "xavier", "msra")
_FAN_IN, _FAN_OUT, _AVERAGE = 0, 1, 2


def filler_of(layer: Layer) -> Any:
    """Return the message of the filler of a layer's weights, or None if it has none."""
    parameters = weight_parameters(layer)
    if parameters is None or not parameters.HasField("weight_filler"):
        return None
    return parameters.weight_filler


def filled(layer: Layer, shape: tuple[int, ...], generator: np.random.Generator) -> Layer:
    """Return a layer with the weights that its fillers draw, if it has fillers and no weights.

    Parameters
    ----------
    layer
        Layer as it was read.
    shape
        Shape of its input in Keras, without the batch: (height, width, channels) or (features,).
    generator
        Source of random numbers.
    """
    filler = filler_of(layer)
    if layer.blobs or filler is None or filler.type not in TYPES:
        return layer
    parameters = weight_parameters(layer)
    outputs = int(parameters.num_output)
    size: tuple[int, ...]
    if layer.type == "Convolution":
        kernel = pair(parameters, "kernel_size", "kernel", 0)
        size = (outputs, shape[-1] // parameters.group, *kernel)
    else:
        inputs = int(np.prod(shape))
        size = (inputs, outputs) if parameters.transpose else (outputs, inputs)
    blobs = [_drawn(filler, size, outputs, generator)]
    if parameters.bias_term:
        bias = parameters.bias_filler
        known = parameters.HasField("bias_filler") and bias.type in TYPES[:3]
        blobs.append(
            _drawn(bias, (outputs,), outputs, generator) if known else np.zeros(outputs, np.float32)
        )
    return replace(layer, blobs=tuple(blobs))


def _drawn(
    filler: Any, size: tuple[int, ...], outputs: int, generator: np.random.Generator
) -> np.ndarray:
    count = int(np.prod(size))
    if filler.type == "constant":
        return np.full(size, filler.value, np.float32)
    if filler.type == "uniform":
        return generator.uniform(filler.min, filler.max, size).astype(np.float32)
    if filler.type == "gaussian":
        return generator.normal(filler.mean, filler.std, size).astype(np.float32)
    fan_in = count / outputs
    # Caffe divides by the second axis, which is the number of inputs.
    fan_out = count / size[1]
    norm = {_FAN_IN: fan_in, _FAN_OUT: fan_out, _AVERAGE: (fan_in + fan_out) / 2}
    fan = norm[filler.variance_norm]
    if filler.type == "xavier":
        limit = np.sqrt(3 / fan)
        return generator.uniform(-limit, limit, size).astype(np.float32)
    return generator.normal(0, np.sqrt(2 / fan), size).astype(np.float32)
