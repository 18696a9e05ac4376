"""State of a Keras model in training other than its weights: optimizer and random generators."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

#: Key for the variables of the optimizer.
OPTIMIZER = "optimizer"
#: Key for the random generators of dropout and augmentation.
RANDOM = "random"


def generators(model: "keras.Model") -> list[Any]:
    """Return the variables of random generators, which Keras does not count as weights."""
    weights = {id(variable) for variable in model.weights}
    return [v for v in model.variables if id(v) not in weights and "seed" in v.path]


def set_random_starts(model: "keras.Model", seed: Sequence[int]) -> None:
    """Set the initial state of each random generator to a number drawn with ``seed``."""
    variables = generators(model)
    starts = np.random.SeedSequence(seed).generate_state(max(1, len(variables)), np.uint32)
    for variable, start in zip(variables, starts, strict=False):
        variable.assign(np.array([start, 0], np.uint32).astype(variable.dtype))


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """Return the variables as arrays."""
    return [np.asarray(variable) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Assign values to variables in order.

    Raises
    ------
    ValueError
        If there are more or fewer values than variables.
    """
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def training_state(model: "keras.Model") -> dict[str, list[np.ndarray]]:
    """Return the state of the optimizer and the random generators of a compiled model."""
    return {
        OPTIMIZER: values_of(model.optimizer.variables),
        RANDOM: values_of(generators(model)),
    }


def set_training_state(model: "keras.Model", state: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Restore a state that :func:`training_state` returned for a model of the same architecture."""
    model.optimizer.build(model.trainable_variables)
    assign(model.optimizer.variables, state[OPTIMIZER])
    assign(generators(model), state[RANDOM])
