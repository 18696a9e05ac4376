"""Translated networks are equivalent to the Keras networks: same outputs, same weights."""

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from backends.bigdl.graph import ChannelNormalization, steps
from backends.bigdl.samples import samples
from backends.bigdl.translation import obstacle
from backends.bigdl.weights import Ordering
from models import ModelConfig, build
from tests.backends import bigdl_forward
from tests.backends.bigdl_forward import (
    CASES,
    CLASSES,
    IMAGES,
    ORDERINGS,
    Outcome,
    keras_network,
    orderings,
    pixels,
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Outcome]:
    """Outcomes of all cases in BigDL, in both orderings."""
    from data.process_environment import for_spark

    target = tmp_path_factory.mktemp("bigdl") / "outcomes.pickle"
    command = [sys.executable, "-m", bigdl_forward.__name__, str(target)]
    environment = {**for_spark(), "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    log = target.with_suffix(".log")
    with log.open("w") as output:
        status = subprocess.run(
            command,
            env=environment,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=400,
            check=False,
        ).returncode
    assert status == 0, log.read_text()[-3000:]
    content: dict[Any, Outcome] = pickle.loads(target.read_bytes())
    return content


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.xdist_group("bigdl_translation")  # one process, which computes the outcomes once
@pytest.mark.parametrize(
    ("name", "image_shape", "ordering"),
    [(name, shape, ordering) for name, shape in CASES for ordering in orderings(name)],
)
def test_network_is_the_same_in_bigdl(
    outcomes: dict[Any, Outcome], name: str, image_shape: tuple[int, int, int], ordering: Ordering
) -> None:
    model = keras_network(name, image_shape)
    expected = model.predict(pixels(image_shape), verbose=0)
    assert expected.std(axis=0).max() > 1e-3, "the images must differ for the network"
    probabilities, weights = outcomes[name, image_shape, ordering]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_known_networks_are_translated() -> None:
    for name, image_shape in CASES:
        assert obstacle(keras_network(name, image_shape)) is None


def test_layer_without_translation_is_named() -> None:
    model = build(ModelConfig(augmentation=True), (24, 24, 3), CLASSES, seed=0)
    assert "layer 'random_flip' (RandomFlip) cannot be translated" in str(obstacle(model))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"dilation_rate": 2}, r"layer 'odd' \(Conv2D\) has dilation_rate=\(2, 2\)"),
        ({"activation": "gelu"}, r"layer 'odd' \(Conv2D\) has the activation 'gelu'"),
        ({"activation": "softmax"}, r"layer 'odd' \(Conv2D\) has a softmax over the channels"),
        ({"trainable": False}, r"layer 'odd' \(Conv2D\) is frozen"),
    ],
)
def test_setting_without_translation_is_named(arguments: dict[str, Any], reason: str) -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3, name="odd", **arguments)(inputs)
    assert re.search(reason, str(obstacle(keras.Model(inputs, outputs))))


def test_layers_with_channels_first_only_are_named() -> None:
    inputs = keras.Input((8, 8, 4))
    means = keras.layers.Rescaling(1.0, offset=[-104.0, -117.0, -123.0, 0.0], name="means")
    outputs = keras.layers.Conv2D(4, 3, groups=2, name="grouped")(means(inputs))
    model = keras.Model(inputs, outputs)
    assert obstacle(model) is None
    assert "layer 'means' (Rescaling) is translated with the option ordering=th only" in str(
        obstacle(model, "tf")
    )


def test_operation_without_translation_is_named() -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3)(keras.ops.sin(inputs))
    assert "layer 'sin' (Sin) cannot be translated" in str(obstacle(keras.Model(inputs, outputs)))


def test_model_in_a_model_is_named() -> None:
    inputs, inner = keras.Input((8,)), keras.Input((8,))
    model = keras.Model(inner, keras.layers.Dense(8)(inner), name="inner")
    reason = obstacle(keras.Model(inputs, keras.layers.Dense(2)(model(inputs))))
    assert "layer 'inner' (Functional) cannot be translated" in str(reason)


def test_number_added_to_a_layer_is_named() -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 3)(inputs + 1.0)
    reason = obstacle(keras.Model(inputs, outputs))
    assert "(Add) is translated to BigDL only for two or more inputs of equal shape" in str(reason)


def test_normalization_of_neighboring_channels_is_one_step() -> None:
    inputs = keras.Input((8, 8, 3))

    def found(neighbors: Any) -> list[ChannelNormalization]:
        sums = keras.ops.matmul(keras.ops.square(inputs), neighbors)
        model = keras.Model(inputs, inputs * keras.ops.power(1.0 + 0.2 * sums, -0.75))
        layers = [step.layer for step in steps(model)]
        return [layer for layer in layers if isinstance(layer, ChannelNormalization)]

    (layer,) = found(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], np.float32))
    assert (layer.size, layer.k, layer.beta) == (3, 1.0, 0.75)
    assert layer.alpha == pytest.approx(3 * 0.2)
    assert not found(inputs[:, :, :3])
    assert not found(np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float32))


def test_layer_used_twice_is_named() -> None:
    inputs = keras.Input((8,))
    dense = keras.layers.Dense(8, name="twice")
    model = keras.Model(inputs, dense(dense(inputs)))
    assert "layer 'twice' (Dense) is used more than once" in str(obstacle(model))


def test_samples_hold_the_pixels() -> None:
    images = pixels((6, 7, 3))
    labels = np.arange(IMAGES, dtype=np.int32) % CLASSES
    first, last = (list(samples(images, labels, (6, 7, 3), CLASSES, o)) for o in ORDERINGS)
    assert [float(sample.label.to_ndarray()[0]) for sample in first] == labels.tolist()
    delivered = np.stack([sample.feature.to_ndarray() for sample in last])
    np.testing.assert_array_equal(delivered, images)
    delivered = np.stack([sample.feature.to_ndarray() for sample in first])
    np.testing.assert_array_equal(delivered, np.moveaxis(images, -1, 1))


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images have shape \(6, 7, 3\), the network needs"):
        next(samples(pixels((6, 7, 3)), np.zeros(IMAGES, np.int32), (7, 6, 3), CLASSES, "th"))


def test_labels_of_no_class_are_refused() -> None:
    labels = np.arange(IMAGES, dtype=np.int32)
    with pytest.raises(ValueError, match="labels range from 0 to 15, the network has 3 classes"):
        next(samples(pixels((6, 7, 3)), labels, (6, 7, 3), CLASSES, "th"))
