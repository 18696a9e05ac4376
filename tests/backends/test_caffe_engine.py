"""Solvers of Caffe compute the same steps as the optimizers of Keras; without Spark."""

from typing import Any, Literal

import keras
import numpy as np
import pytest

from backends.caffe_on_spark.network import obstacle, translate
from models import ModelConfig, OptimizerConfig, build, compiled
from models.config import BackboneConfig

pytest.importorskip("caffe", reason="needs Caffe: bash deploy/caffe/build.sh")
pytestmark = [pytest.mark.slow, pytest.mark.long]
SGD = {"name": "sgd", "learning_rate": 0.01}
BATCH = 8


def policy(name: str, **values: Any) -> dict[str, Any]:
    return {**SGD, "policy": {"name": name, **values}}


def inputs(
    generator: np.random.Generator, count: int, model: keras.Model, largest: float
) -> np.ndarray:
    return generator.uniform(0, largest, (count, *model.input_shape[1:])).astype(np.float32)


def assert_steps_are_those_of_keras(
    model: keras.Model,
    optimizer: dict[str, Any],
    weights: tuple[float, ...] | None = None,
    largest: float = 255.0,
) -> None:
    """Compare five steps, with a solver that is replaced by a restored one after the third."""
    from backends.caffe_on_spark.engine import Classifier, Solver

    config = OptimizerConfig.model_validate(optimizer)
    compiled(model, config, weights)
    network, start = translate(model, BATCH, weights), model.get_weights()
    solver = Solver(network, config, lambda _: None)
    solver.weights.write(start)
    generator = np.random.default_rng(0)
    for number in range(5):
        pixels = inputs(generator, BATCH, model, largest)
        labels = generator.integers(0, model.output_shape[-1], BATCH)
        expected = float(model.train_on_batch(pixels, labels))
        model.reset_metrics()
        assert solver.step(pixels, labels) == pytest.approx(expected, abs=1e-5)
        if number == 2:
            state, trained = solver.state(), solver.weights.read()
            solver = Solver(network, config, lambda _: None)
            solver.weights.write(trained)
            solver.set_state(state)
    moved = 0.0
    for one, other, first in zip(solver.weights.read(), model.get_weights(), start, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
        moved = max(moved, float(np.abs(other - first).max()))
    assert moved > 3e-4
    more = inputs(generator, 100, model, largest)
    classify = Classifier(network, solver.net)
    np.testing.assert_allclose(classify(more), model.predict(more, verbose=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD,
        {**SGD, "momentum": 0.9},
        {**SGD, "momentum": 0.9, "nesterov": True},
        {"name": "adam", "learning_rate": 1e-3},
        policy("step", gamma=0.5, steps=[2]),
        policy("multistep", gamma=0.5, steps=[1, 3]),
        policy("exp", gamma=0.7),
        policy("inv", gamma=0.5, power=0.75),
        policy("poly", power=2, steps=[5]),
        policy("sigmoid", gamma=-0.5, steps=[2]),
    ],
)
def test_optimizers_and_policies(optimizer: dict[str, Any]) -> None:
    model = build(ModelConfig(dropout=0.0), (24, 24, 3), 2, seed=0)
    assert_steps_are_those_of_keras(model, optimizer)


@pytest.mark.parametrize(
    ("name", "shape"), [("small_cnn", (25, 30, 1)), ("lesion_cnn", (27, 22, 3))]
)
@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 1.5)])
def test_networks_with_and_without_class_weights(
    name: Literal["small_cnn", "lesion_cnn"],
    shape: tuple[int, int, int],
    weights: tuple[float, ...] | None,
) -> None:
    """Pooling must round some of the sides down."""
    model = build(ModelConfig(name=name, dropout=0.0), shape, 3, seed=0)
    assert_steps_are_those_of_keras(model, SGD, weights)


def test_head_on_features_of_a_backbone() -> None:
    config = ModelConfig(name="transfer", backbone=BackboneConfig(name="small_cnn"), dropout=0.0)
    head = build(config, (1, 1, 40), 2, seed=0)
    assert obstacle(head) is None
    assert_steps_are_those_of_keras(head, SGD, largest=2.0)


def test_dropout_is_random_by_the_seed() -> None:
    from backends.caffe_on_spark.engine import Solver, caffe

    model = build(ModelConfig(dropout=0.5), (24, 24, 3), 2, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 24, 24, 3), np.uint8)
    losses = []
    for seed in (1, 2, 1):
        solver = Solver(translate(model, BATCH), OptimizerConfig(), lambda _: None)
        solver.weights.write(model.get_weights())
        caffe().set_random_seed(seed)
        losses.append([solver.step(pixels, np.zeros(BATCH, int)) for _ in range(3)])
    assert losses[0] == losses[2]
    assert losses[0] != losses[1]
