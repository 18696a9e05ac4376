"""Seeded initial weights that are equal on every machine, and a checksum to verify them."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.errors import ModelError

if TYPE_CHECKING:
    import keras

_ZEROS = {"bias", "beta", "moving_mean"}
_ONES = {"gamma", "moving_variance"}


def seeded_weights(model: "keras.Model", seed: int) -> list[np.ndarray]:
    """Return initial values for ``model.get_weights()``: Glorot-uniform kernels, zero biases.

    The numbers come from NumPy's PCG64, whose stream is the same on every platform; the generator
    of a framework may depend on its version or its number of threads. The limits are those of
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010, with Keras's definition of fan-in and fan-out.

    Raises
    ------
    ModelError
        If the name of a weight does not reveal its role.
    """
    values = []
    for number, variable in enumerate(model.weights):
        shape = tuple(variable.shape)
        if variable.name in _ZEROS:
            value = np.zeros(shape, np.float32)
        elif variable.name in _ONES:
            value = np.ones(shape, np.float32)
        elif variable.name.endswith("kernel"):
            value = _glorot(shape, (seed, number))
        else:
            raise ModelError(f"no initial value is defined for the weight '{variable.path}'")
        values.append(value)
    return values


def seeded_kernels(model: "keras.Model", seed: int) -> list[np.ndarray]:
    """Return ``model.get_weights()`` with the kernels of :func:`seeded_weights`.

    All other weights, which Keras initializes with constants, remain as they are.
    """
    return [
        _glorot(value.shape, (seed, number)) if variable.name.endswith("kernel") else value
        for number, (variable, value) in enumerate(
            zip(model.weights, model.get_weights(), strict=True)
        )
    ]


def _glorot(shape: tuple[int, ...], seed: tuple[int, int]) -> np.ndarray:
    limit = np.sqrt(6 / sum(_fans(shape)))
    return np.random.default_rng(seed).uniform(-limit, limit, shape).astype(np.float32)


def checksum(weights: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 over shapes and little-endian float32 bytes of ``weights``, in order."""
    digest = hashlib.sha256()
    for weight in weights:
        array = np.ascontiguousarray(weight, dtype="<f4")
        digest.update(repr(tuple(array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    receptive_field = int(np.prod(shape[:-2]))
    return shape[-2] * receptive_field, shape[-1] * receptive_field
