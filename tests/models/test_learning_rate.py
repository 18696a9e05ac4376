from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from models import OptimizerConfig
from models.build import optimizer
from models.config import PolicyConfig

#: Learning rate by step, from the definitions of Caffe's solver; the base is 0.5.
EXPECTED: list[tuple[dict[str, Any], Callable[[int], float]]] = [
    ({"name": "step", "gamma": 0.1, "steps": [3]}, lambda step: 0.5 * 0.1 ** (step // 3)),
    (
        {"name": "multistep", "gamma": 0.5, "steps": [2, 5]},
        lambda step: 0.5 * 0.5 ** ((step >= 2) + (step >= 5)),
    ),
    ({"name": "exp", "gamma": 0.9}, lambda step: 0.5 * 0.9**step),
    ({"name": "inv", "gamma": 0.1, "power": 0.75}, lambda step: 0.5 * (1 + 0.1 * step) ** -0.75),
    ({"name": "poly", "power": 2, "steps": [8]}, lambda step: 0.5 * (1 - step / 8) ** 2),
    (
        {"name": "sigmoid", "gamma": -0.7, "steps": [4]},
        lambda step: 0.5 / (1 + np.exp(0.7 * (step - 4))),
    ),
]


@pytest.mark.parametrize(("policy", "expected"), EXPECTED, ids=lambda one: str(one)[:20])
def test_policies_are_those_of_caffe(
    policy: dict[str, Any], expected: Callable[[int], float]
) -> None:
    config = OptimizerConfig.model_validate({"name": "sgd", "learning_rate": 0.5, "policy": policy})
    made = optimizer(config)
    variable = keras.Variable(np.zeros(1, np.float32))
    made.build([variable])
    for step in range(8):
        assert float(made.learning_rate) == pytest.approx(expected(step), rel=1e-5)
        made.apply([np.ones(1, np.float32)])
    steps = sum(expected(step) for step in range(8))
    assert float(variable.numpy()[0]) == pytest.approx(-steps, rel=1e-5)
    again = type(made).from_config(made.get_config())
    again.build([variable])
    assert float(again.learning_rate) == pytest.approx(
        0.5 if policy["name"] != "sigmoid" else expected(0), rel=1e-5
    )


def test_momentum_is_that_of_caffe() -> None:
    config = OptimizerConfig(name="sgd", learning_rate=0.1, momentum=0.9)
    made = optimizer(config)
    variable = keras.Variable(np.zeros(1, np.float32))
    made.build([variable])
    weight = velocity = 0.0
    for gradient in (1.0, -2.0, 0.5):
        made.apply([np.full(1, gradient, np.float32)])
        velocity = 0.9 * velocity + 0.1 * gradient
        weight -= velocity
        assert float(variable.numpy()[0]) == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "adam", "momentum": 0.9}, "for the optimizer sgd, not adam"),
        ({"name": "sgd", "nesterov": True}, "nesterov needs a momentum"),
    ],
)
def test_settings_that_have_no_effect_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OptimizerConfig.model_validate(values)


def test_policy_without_its_steps_is_refused() -> None:
    for name in ("step", "multistep", "poly"):
        with pytest.raises(ValidationError, match=f"the policy {name} needs"):
            PolicyConfig.model_validate({"name": name, "gamma": 0.1})
