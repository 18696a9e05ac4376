"""Weights of one layer, between Keras's layout and BigDL's.

BigDL's axes (2.4): a convolution is (group, output, input, height, width) with channels first and
(group, height, width, input, output) with channels last; a dense layer is (output, input).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

#: BigDL's words for channels first and channels last.
Ordering = Literal["th", "tf"]


class LayerWeights(ABC):
    """Reads and writes the weights of one BigDL layer, in the order and layout of Keras."""

    #: How many arrays of ``keras.Model.get_weights()`` are this layer's.
    count: int

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @abstractmethod
    def write(self, values: Sequence[np.ndarray]) -> None:
        """Put Keras's arrays into BigDL's layer."""

    @abstractmethod
    def read(self) -> list[np.ndarray]:
        """Return the arrays of BigDL's layer as Keras would, float32."""


class KernelWeights(LayerWeights):
    """A kernel and perhaps a bias."""

    def __init__(self, layer: Any, ordering: Ordering, bias: bool) -> None:
        super().__init__(layer)
        self.ordering = ordering
        self.count = 1 + bias

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Put kernel and bias into BigDL's layer."""
        kernel, *bias = values
        self.layer.set_weights([np.ascontiguousarray(self.to_bigdl(kernel)), *bias])

    def read(self) -> list[np.ndarray]:
        """Return kernel and bias."""
        kernel, *bias = self.layer.get_weights()
        return [np.ascontiguousarray(self.to_keras(kernel)), *bias]

    @abstractmethod
    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Return a kernel of Keras in BigDL's layout."""

    @abstractmethod
    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Return a kernel of BigDL in Keras's layout."""


class DenseWeights(KernelWeights):
    """Keras (input, output), BigDL (output, input)."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Transpose."""
        return kernel.T

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Transpose."""
        return kernel.T


class ConvolutionWeights(KernelWeights):
    """Keras (height, width, input, output)."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Add the axis of the one group; channels first where the layer has them so."""
        return (kernel.transpose(3, 2, 0, 1) if self.ordering == "th" else kernel)[None]

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Undo ``to_bigdl``."""
        return kernel[0].transpose(2, 3, 1, 0) if self.ordering == "th" else kernel[0]


class DepthwiseWeights(KernelWeights):
    """Keras (height, width, channel, 1), BigDL (channel, 1, 1, height, width): a group each."""

    def to_bigdl(self, kernel: np.ndarray) -> np.ndarray:
        """Make each channel a group of its own."""
        return kernel.transpose(2, 3, 0, 1)[:, None]

    def to_keras(self, kernel: np.ndarray) -> np.ndarray:
        """Undo ``to_bigdl``."""
        return kernel[:, 0].transpose(2, 3, 0, 1)


class SeparableWeights(LayerWeights):
    """Depthwise kernel, pointwise kernel, bias: Keras's own layout when channels are last."""

    def __init__(self, layer: Any, bias: bool) -> None:
        super().__init__(layer)
        self.count = 2 + bias

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Put the arrays into BigDL's layer."""
        self.layer.set_weights(list(values))

    def read(self) -> list[np.ndarray]:
        """Return the arrays of BigDL's layer."""
        values: list[np.ndarray] = self.layer.get_weights()
        return values


class NormalizationWeights(LayerWeights):
    """Gamma, beta, moving mean, moving variance; BigDL keeps the last two apart."""

    count = 4

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Put the arrays into BigDL's layer."""
        gamma, beta, mean, variance = values
        self.layer.set_weights([gamma, beta])
        self.layer.set_running_mean(mean)
        self.layer.set_running_std(variance)  # by its name a deviation, by its use the variance

    def read(self) -> list[np.ndarray]:
        """Return the arrays of BigDL's layer."""
        from bigdl.dllib.utils.common import callBigDlFunc

        inner = self.layer.value.labor()  # the Python method for it asks the JVM for a wrong class
        names = ("getRunningMean", "getRunningStd")
        statistics = [callBigDlFunc("float", name, inner).to_ndarray() for name in names]
        return [*self.layer.get_weights(), *statistics]
