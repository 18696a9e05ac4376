"""Networks, weights and solvers that are written for Caffe; Caffe itself is not needed."""

import re
from pathlib import Path
from typing import Any, Literal

import cv2
import keras
import numpy as np
import pytest
from google.protobuf import text_format
from keras import layers

from backends import registry
from backends.base import TrainingTask
from backends.caffe_on_spark import CaffeOnSpark, solver
from backends.caffe_on_spark.network import CaffeNetwork, obstacle, translate, with_ceil_mode
from backends.errors import BackendError
from backends.refusal import refusal
from data.prepared import PreparedData
from models import ModelConfig, OptimizerConfig, build
from models.caffe.schema import messages
from models.config import PolicyConfig
from tests.backends.all_reduce_checks import task

POLY = PolicyConfig(name="poly", steps=(2,))
Network = Literal["small_cnn", "lesion_cnn", "mini_xception"]


def parsed(definition: str, message: str = "NetParameter") -> Any:
    return text_format.Parse(definition, messages()[message]())


def keras_model(name: Network, shape: tuple[int, int, int], classes: int = 2) -> keras.Model:
    """Return a network all of whose weights differ from zero."""
    model = build(ModelConfig(name=name, dropout=0.5), shape, classes, seed=0)
    generator = np.random.default_rng(1)
    model.set_weights([w + generator.normal(0, 0.05, w.shape) for w in model.get_weights()])
    return model


def caffemodel(network: CaffeNetwork, weights: list[np.ndarray]) -> bytes:
    """Return the network with its weights in the binary form of Caffe."""
    content = parsed(network.prediction)
    by_name = {layer.name: layer for layer in content.layer}
    for parameter, value in zip(network.parameters, weights, strict=True):
        blob = by_name[parameter.layer].blobs.add()
        array = parameter.to_caffe(value)
        blob.shape.dim.extend(array.shape)
        blob.data.extend(array.reshape(-1).tolist())
    return content.SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("small_cnn", (25, 30, 1), 2), ("small_cnn", (24, 24, 3), 4), ("lesion_cnn", (27, 22, 3), 3)],
)
def test_opencv_reads_the_same_network(
    name: Network, shape: tuple[int, int, int], classes: int, tmp_path: Path
) -> None:
    """Sides that pooling must round down are included; OpenCV has a reader of its own."""
    model = keras_model(name, shape, classes)
    network = translate(model)
    definition, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    definition.write_text(with_ceil_mode(network.prediction))
    weights.write_bytes(caffemodel(network, model.get_weights()))
    reader = cv2.dnn.readNetFromCaffe(str(definition), str(weights))
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    reader.setInput(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(reader.forward(), expected, rtol=0, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "shape"), [("small_cnn", (25, 30, 3)), ("lesion_cnn", (27, 22, 1))]
)
def test_weights_are_the_same_after_both_conversions(
    name: Network, shape: tuple[int, int, int]
) -> None:
    model = keras_model(name, shape)
    network = translate(model)
    found = []
    for parameter, value in zip(network.parameters, model.get_weights(), strict=True):
        converted = parameter.to_caffe(value)
        assert converted.shape[0] == value.shape[-1], "Caffe has the outputs first"
        found.append(parameter.to_keras(converted))
    for one, other in zip(found, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.flags.c_contiguous
        assert one.flags.owndata


def test_definition_for_training_has_a_batch_labels_and_a_loss() -> None:
    model = build(ModelConfig(dropout=0.25), (24, 24, 3), 2, seed=0)
    content = parsed(translate(model, batch_size=8).training)
    kinds = [layer.type for layer in content.layer]
    assert kinds[:3] == ["Input", "Input", "Power"]
    assert kinds[-3:] == ["Dropout", "InnerProduct", "SoftmaxWithLoss"]
    shapes = {layer.top[0]: list(layer.input_param.shape[0].dim) for layer in content.layer[:2]}
    assert shapes == {"pixels": [8, 3, 24, 24], "labels": [8]}
    assert content.layer[2].power_param.scale == pytest.approx(1 / 255)
    assert content.layer[-3].dropout_param.dropout_ratio == 0.25
    assert list(content.layer[-1].bottom) == ["logits", "labels"]
    assert all(
        layer.pooling_param.round_mode == 1 for layer in content.layer if layer.type == "Pooling"
    )


def test_class_weights_become_the_matrix_of_an_infogain_loss() -> None:
    model = build(ModelConfig(), (24, 24, 3), 3, seed=0)
    network = translate(model, batch_size=8, class_weights=[0.5, 1.0, 1.5])
    content = parsed(network.training)
    assert [layer.type for layer in content.layer][-2:] == ["Softmax", "InfogainLoss"]
    assert list(content.layer[-1].bottom) == ["probabilities", "labels", "class_weights"]
    assert network.class_weights == (0.5, 1.0, 1.5)


def test_no_name_of_a_layer_is_taken_for_a_blob_of_the_backend() -> None:
    inputs = keras.Input((4, 4, 1))
    x = layers.Dense(3, activation="relu", name="loss")(layers.Flatten(name="labels")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="logits")(x))
    content = parsed(translate(model).training)
    tops = [top for layer in content.layer for top in layer.top if layer.type != "ReLU"]
    assert len(tops) == len(set(tops))
    assert len({layer.name for layer in content.layer}) == len(content.layer)


def chain(*parts: keras.Layer) -> keras.Model:
    """Return a network of ``parts`` between images and probabilities."""
    x = inputs = keras.Input((8, 8, 3))
    for part in parts:
        x = part(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (layers.BatchNormalization(name="one"), r"'one' \(BatchNormalization\) is not written"),
        (layers.Conv2D(4, 2, padding="same", name="one"), "'one'.*pads unequally"),
        (layers.Conv2D(4, 3, strides=2, padding="same", name="one"), "'one'.*pads unequally"),
        (layers.Conv2D(3, 3, groups=3, name="one"), "'one'.*groups or a dilation"),
        (layers.Conv2D(3, 3, activation="gelu", name="one"), "'one'.*activation 'gelu'"),
        (layers.Conv2D(3, 3, activation="softmax", name="one"), "'one'.*activation 'softmax'"),
        (layers.Conv2D(3, 3, trainable=False, name="one"), "'one'.*is frozen"),
        (layers.MaxPooling2D(2, padding="same", name="one"), "'one'.*pads"),
        (layers.Rescaling([1.0, 2.0, 3.0], name="one"), "'one'.*a value for each channel"),
        (layers.Dense(3, name="one"), "'one'.*not flattened"),
    ],
)
def test_layer_that_is_not_written_for_caffe_is_named(part: keras.Layer, reason: str) -> None:
    model = chain(part)
    with pytest.raises(BackendError, match=reason):
        translate(model)


def test_branches_and_other_ends_are_named() -> None:
    inputs = keras.Input((8, 8, 3))
    left = layers.Conv2D(2, 3, name="left")(inputs)
    layers.Conv2D(2, 3, name="right")(inputs)
    flat = layers.Flatten()(left)
    linear = keras.Model(inputs, layers.Dense(2)(flat), name="linear")
    assert "linear does not end with a softmax" in str(obstacle(linear))
    both = layers.Flatten(name="both")(layers.Add(name="sum")([left, left]))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(both))
    assert "layer 'sum' (Add) is not written for Caffe" in str(obstacle(model))


@pytest.mark.slow
def test_networks_of_the_project() -> None:
    for name in ("small_cnn", "lesion_cnn"):
        assert obstacle(keras_model(name, (30, 30, 3))) is None
    assert "'entry_convolution' (Conv2D) pads" in str(
        obstacle(build(ModelConfig(name="mini_xception"), (32, 32, 3), 2, seed=0))
    )


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"name": "sgd"}, {"type": "SGD", "lr_policy": "fixed", "momentum": 0.0}),
        ({"name": "sgd", "momentum": 0.5, "nesterov": True}, {"type": "Nesterov", "momentum": 0.5}),
        ({"name": "adam"}, {"type": "Adam", "momentum2": 0.999, "delta": 1e-7}),
        (
            {"policy": {"name": "step", "gamma": 0.5, "steps": [7]}},
            {"lr_policy": "step", "gamma": 0.5, "stepsize": 7},
        ),
        ({"policy": {"name": "multistep", "steps": [3, 9]}}, {"stepvalue": [3, 9]}),
        ({"policy": {"name": "poly", "power": 2, "steps": [90]}}, {"power": 2, "max_iter": 90}),
    ],
)
def test_optimizer_becomes_a_solver(optimizer: dict[str, Any], expected: dict[str, Any]) -> None:
    config = OptimizerConfig.model_validate({"learning_rate": 0.02, **optimizer})
    found = parsed(solver.definition(config, "net.prototxt", "state"), "SolverParameter")
    assert (found.net, found.snapshot_prefix, found.solver_mode) == ("net.prototxt", "state", 0)
    assert found.base_lr == pytest.approx(0.02)
    for name, value in expected.items():
        setting = getattr(found, name)
        assert (list(setting) if isinstance(value, list) else setting) == (
            value if isinstance(value, list | str) else pytest.approx(value)
        )


def asked(prepared: PreparedData, **values: Any) -> TrainingTask:
    return task(prepared, options=CaffeOnSpark.options(), **values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"model": ModelConfig(augmentation=True)}, "no layers for random flips"),
        ({"optimizer": OptimizerConfig(name="rmsprop")}, "Caffe's rmsprop starts from other"),
        ({"optimizer": OptimizerConfig(name="adagrad")}, "use adam or sgd"),
        (
            {
                "optimizer": OptimizerConfig(policy=PolicyConfig(name="poly", steps=(2,))),
                "epochs": 9,
            },
            r"the policy poly ends after 2 steps.* set optimizer.policy.steps=\[\d+\]",
        ),
        ({"global_batch_size": 2**20}, "use fewer workers or a smaller --batch-size"),
    ],
)
def test_task_that_caffe_would_train_differently_is_refused(
    prepared: PreparedData, values: dict[str, Any], reason: str
) -> None:
    assert CaffeOnSpark().unsupported(asked(prepared)) is None
    found = CaffeOnSpark().unsupported(asked(prepared, **values))
    assert re.search(reason, str(found))


def test_without_caffe_the_refusal_names_the_script_and_the_other_way(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    reason = refusal(registry.create("caffe_on_spark"), asked(prepared))
    first, second = str(reason).splitlines()
    assert first == "not installed: caffe is missing; 'bash deploy/caffe/build.sh' adds it"
    assert "sparkdl-bench run --caffe-solver solver.prototxt" in second
    assert (Path(__file__).parents[2] / "deploy/caffe/build.sh").is_file()
