"""Replica of libraries in which the network and the optimizer are those of Keras."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backends.all_reduce.replica import Replica
from backends.keras_state import assign, generators, values_of

if TYPE_CHECKING:
    import keras


class KerasReplica(Replica):
    """Copy of the Keras network on one worker; subclasses train it with a library."""

    #: The network; its weights are equal on all workers after each step.
    model: "keras.Model"
    #: Optimizer of the network, built for its trainable variables.
    optimizer: "keras.optimizers.Optimizer"

    @property
    def statistics(self) -> int:
        """Number of arrays of the weights that are not trained, such as moving averages."""
        return len(self.model.non_trainable_weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights of the network."""
        return list(self.model.get_weights())

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights of the network."""
        self.model.set_weights(values)

    def optimizer_state(self) -> list[np.ndarray]:
        """Return the variables of the optimizer."""
        return values_of(self.optimizer.variables)

    def set_optimizer_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the variables of the optimizer."""
        assign(self.optimizer.variables, values)

    def random_state(self) -> list[np.ndarray]:
        """Return the variables of the random generators."""
        return values_of(generators(self.model))

    def set_random_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the variables of the random generators."""
        assign(generators(self.model), values)

    def use_own_random_stream(self) -> None:
        """Give each worker its own random numbers for dropout and augmentation.

        All variables are initialized with the values of the chief, including the states of random
        generators. Those of the chief are not changed, so that it draws as a single process does.
        """
        for variable in generators(self.model):
            state = np.array(variable)
            state[0] += self.rank
            variable.assign(state)

    def average_statistics(self) -> None:
        """Replace the moving averages of batch normalization by their mean over all workers.

        The averages are linear in the contribution of each batch, so averaging them after an epoch
        gives the same result as averaging them at every step.
        """
        variables = self.model.non_trainable_weights
        if variables:
            sums = self.sum_over_workers(values_of(variables))
            for variable, total in zip(variables, sums, strict=True):
                variable.assign(total / self.task.workers)
