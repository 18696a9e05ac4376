"""The steps of a functional Keras model in the order of their computation.

A step is a layer, or a group of operations that BigDL computes with one layer: the normalization of
neighboring channels in networks of Caffe (`models.caffe.layers`) consists of six operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

#: Operations of the normalization after its first one, the square.
_AFTER_SQUARE = ("Matmul", "Multiply", "Add", "Power", "Multiply")


@dataclass(frozen=True)
class ChannelNormalization:
    """Division by (k + alpha / size * sum of squares of ``size`` neighboring channels) ** beta."""

    name: str
    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class Step:
    """A computation of the model."""

    #: Name of the Keras class.
    kind: str
    name: str
    #: Keras layer or operation, or a `ChannelNormalization`.
    layer: Any
    #: Keras tensors.
    inputs: tuple[Any, ...]
    output: Any


def steps(model: "keras.Model") -> list[Step]:
    """Return the steps of ``model``, each after those that it depends on."""
    found: list[Step] = []
    operations = list(model.operations)
    grouped: set[int] = set()
    ends: dict[int, tuple[ChannelNormalization, Any]] = {}
    for place, operation in enumerate(operations):
        normalization = _normalization(operations[place:])
        if normalization is not None:
            group = operations[place : place + 1 + len(_AFTER_SQUARE)]
            grouped |= {id(one) for one in group[:-1]}
            ends[id(group[-1])] = normalization, operation.input
    for operation in operations:
        if id(operation) in ends:
            layer, source = ends[id(operation)]
            kind = type(layer).__name__
            found.append(Step(kind, layer.name, layer, (source,), operation.output))
        elif id(operation) not in grouped:
            kind = type(operation).__name__
            inputs = () if kind == "InputLayer" else tuple(_tensors(operation.input))
            found.append(Step(kind, operation.name, operation, inputs, operation.output))
    return found


def _normalization(operations: list[Any]) -> ChannelNormalization | None:
    """Return the normalization that begins with the first of ``operations``, if there is one."""
    square, *after = operations[: 1 + len(_AFTER_SQUARE)]
    if type(square).__name__ != "Square" or tuple(map(_kind, after)) != _AFTER_SQUARE:
        return None
    chain = [square, *after]
    for one, following in pairwise(chain):
        if not any(tensor is one.output for tensor in _tensors(following.input)):
            return None
    if not any(tensor is square.input for tensor in _tensors(after[-1].input)):
        return None
    matmul, multiply, add, power, _ = after
    (neighbors,), (factor,), (k,), (exponent,) = map(_constants, (matmul, multiply, add, power))
    size = 2 * int(neighbors[0].sum()) - 1
    places = np.arange(len(neighbors))
    if not np.array_equal(neighbors, np.abs(places[:, None] - places) <= size // 2):
        return None
    return ChannelNormalization(square.name, size, float(factor) * size, -float(exponent), float(k))


def _constants(operation: Any) -> Iterator[Any]:
    """Yield the arguments of an operation that are not tensors of the graph."""
    from keras import KerasTensor

    arguments = operation._inbound_nodes[0].arguments.args
    yield from (one for one in arguments if not isinstance(one, KerasTensor))


def _kind(operation: Any) -> str:
    return type(operation).__name__


def _tensors(tensors: Any) -> list[Any]:
    return tensors if isinstance(tensors, list) else [tensors]
