"""Conversion of the weights of one layer between the layouts of Keras and BigDL.

Axes of kernels in BigDL 2.4: a convolution has (group, output, input, height, width) with channels
first and (group, height, width, input, output) with channels last; a dense layer has
(output, input).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

#: BigDL's names for channels first and channels last.
Ordering = Literal["th", "tf"]


class LayerWeights(ABC):
    """Reads and writes the weights of one BigDL layer, in the order and layout of Keras."""

    #: Number of arrays of ``keras.Model.get_weights()`` that belong to this layer.
    count: int

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @abstractmethod
    def write(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights of BigDL's layer from Keras's arrays."""

    @abstractmethod
    def read(self) -> list[np.ndarray]:
        """Return the weights of BigDL's layer as float32 arrays in Keras's layout."""


class KernelWeights(LayerWeights):
    """A kernel and an optional bias."""

    def __init__(self, layer: Any, ordering: Ordering, bias: bool) -> None:
        super().__init__(layer)
        self.ordering = ordering
        self.count = 1 + bias

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Set kernel and bias of BigDL's layer from Keras's arrays."""
        kernel, *bias = values
        self.layer.set_weights([np.ascontiguousarray(self.to_bigdl(kernel)), *bias])

    def read(self) -> list[np.ndarray]:
        """Return kernel and bias in Keras's layout."""
        kernel, *bias = self.layer.get_weights()
        return [np.ascontiguousarray(self.to_keras(kernel)), *bias]

    @abstractmethod
    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return a Keras kernel in BigDL's layout."""

    @abstractmethod
    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Return a BigDL kernel in Keras's layout."""


class DenseWeights(KernelWeights):
    """Dense kernel: (input, output) in Keras, (output, input) in BigDL."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return the transposed kernel."""
        return kernel.T

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Return the transposed kernel."""
        return kernel.T


class ConvolutionWeights(KernelWeights):
    """Convolution kernel: (height, width, input, output) in Keras."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel in the layer's ordering, with an axis for its single group."""
        return (kernel.transpose(3, 2, 0, 1) if self.ordering == "th" else kernel)[None]

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Invert ``to_bigdl``."""
        return kernel[0].transpose(2, 3, 1, 0) if self.ordering == "th" else kernel[0]


class DepthwiseWeights(KernelWeights):
    """Depthwise kernel: (height, width, channel, 1) in Keras, (channel, 1, 1, ...) in BigDL."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel with one group per channel: (channel, 1, 1, height, width)."""
        return kernel.transpose(2, 3, 0, 1)[:, None]

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Invert ``to_bigdl``."""
        return kernel[:, 0].transpose(2, 3, 0, 1)


class GroupedWeights(KernelWeights):
    """Kernel of several groups of channels: (height, width, input of a group, output) in Keras."""

    def __init__(self, layer: Any, groups: int, bias: bool) -> None:
        super().__init__(layer, "th", bias)
        self.groups = groups

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel as (group, output of a group, input of a group, height, width)."""
        divided = kernel.reshape(*kernel.shape[:3], self.groups, -1)
        return divided.transpose(3, 4, 2, 0, 1)

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Invert ``to_bigdl``."""
        moved = kernel.transpose(3, 4, 2, 0, 1)
        return moved.reshape(*moved.shape[:3], -1)


class SeparableWeights(LayerWeights):
    """Depthwise kernel, pointwise kernel, bias; with channels last, the same layout as in Keras."""

    def __init__(self, layer: Any, bias: bool) -> None:
        super().__init__(layer)
        self.count = 2 + bias

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights of BigDL's layer."""
        self.layer.set_weights(list(values))

    def read(self) -> list[np.ndarray]:
        """Return the weights of BigDL's layer."""
        values: list[np.ndarray] = self.layer.get_weights()
        return values


class NormalizationWeights(LayerWeights):
    """Gamma, beta, moving mean, moving variance; BigDL stores the last two separately."""

    count = 4

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights and the statistics of BigDL's layer."""
        gamma, beta, mean, variance = values
        self.layer.set_weights([gamma, beta])
        self.layer.set_running_mean(mean)
        self.layer.set_running_std(variance)  # BigDL uses the value as a variance, despite the name

    def read(self) -> list[np.ndarray]:
        """Return the weights and the statistics of BigDL's layer."""
        from bigdl.dllib.utils.common import callBigDlFunc

        inner = self.layer.value.labor()  # BigDL's Python method requests a wrong JVM class
        names = ("getRunningMean", "getRunningStd")
        statistics = [callBigDlFunc("float", name, inner).to_ndarray() for name in names]
        return [*self.layer.get_weights(), *statistics]
