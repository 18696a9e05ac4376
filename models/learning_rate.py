"""Learning-rate policies. This module imports Keras, so it is imported only where it is needed."""

from typing import Any

import keras
from keras import ops

from models.config import PolicyConfig


@keras.saving.register_keras_serializable(package="sparkdl_bench")
class LearningRatePolicy(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate as a function of the optimizer step, as Caffe's solver defines it.

    Parameters
    ----------
    base
        Learning rate at the first step.
    policy
        Field of `models.config.PolicyConfig` as a dictionary.
    """

    def __init__(self, base: float, policy: dict[str, Any]) -> None:
        super().__init__()
        self.base = base
        self.policy = PolicyConfig.model_validate(policy)

    def __call__(self, step: Any) -> Any:
        """Return the learning rate, a float32 scalar, of a step that is counted from 0."""
        step = ops.cast(step, "float32")
        policy = self.policy
        if policy.name == "step":
            return self.base * ops.power(policy.gamma, ops.floor(step / float(policy.steps[0])))
        if policy.name == "multistep":
            passed = sum(ops.cast(step >= float(one), "float32") for one in policy.steps)
            return self.base * ops.power(policy.gamma, passed)
        if policy.name == "exp":
            return self.base * ops.power(policy.gamma, step)
        if policy.name == "inv":
            return self.base * ops.power(1.0 + policy.gamma * step, -policy.power)
        if policy.name == "sigmoid":
            return self.base * ops.sigmoid(policy.gamma * (step - float(policy.steps[0])))
        left = ops.maximum(0.0, 1.0 - step / float(policy.steps[0]))
        return self.base * ops.power(left, policy.power)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which Keras can recreate the policy."""
        return {"base": self.base, "policy": self.policy.model_dump(mode="json")}
