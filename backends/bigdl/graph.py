"""The steps of a functional Keras model in the order of their computation.

A step is a layer, or a group of operations that BigDL computes with one layer: the normalization of
neighboring channels in networks of Caffe (`models.caffe.layers`) consists of six operations.
"""

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
    constants = [_constant(operation) for operation in after[:-1]]
    is_number = [np.ndim(one) == 0 and one is not None for one in constants[1:]]
    # The exponent is the second argument; a number to the power of a tensor is something else.
    base = after[3]._inbound_nodes[0].arguments.args[0]
    if np.ndim(constants[0]) != 2 or not all(is_number) or base is constants[3]:
        return None
    neighbors, factor, k, exponent = constants
    size = 2 * int(neighbors[0].sum()) - 1
    places = np.arange(len(neighbors))
    if not np.array_equal(neighbors, np.abs(places[:, None] - places) <= size // 2):
        return None
    return ChannelNormalization(square.name, size, float(factor) * size, -float(exponent), float(k))


def _constant(operation: Any) -> Any:
    """Return the only argument of an operation that is no tensor of the graph, or None."""
    from keras import KerasTensor

    arguments = operation._inbound_nodes[0].arguments.args
    found = [one for one in arguments if not isinstance(one, KerasTensor)]
    return found[0] if len(found) == 1 else None


def _kind(operation: Any) -> str:
    return type(operation).__name__


def _tensors(tensors: Any) -> list[Any]:
    return tensors if isinstance(tensors, list) else [tensors]
