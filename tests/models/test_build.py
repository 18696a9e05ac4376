import numpy as np
import pytest
from keras import config

from models import ModelConfig, ModelError, build, checksum


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "image_shape", "classes", "parameters"),
    [
        ("small_cnn", (50, 50, 1), 2, 203_394),
        ("lesion_cnn", (100, 100, 3), 3, 17_552_259),
        ("mini_xception", (180, 180, 3), 2, 2_732_090),
    ],
)
def test_networks_have_the_published_size(
    name: str, image_shape: tuple[int, int, int], classes: int, parameters: int
) -> None:
    model = build(ModelConfig.model_validate({"name": name}), image_shape, classes, seed=0)
    assert model.count_params() == parameters
    pixels = np.random.default_rng(0).integers(0, 256, (2, *image_shape), dtype=np.uint8)
    np.testing.assert_allclose(model(pixels).numpy().sum(axis=1), 1, atol=1e-5)


def test_initial_weights_are_the_same_on_every_machine() -> None:
    model = build(ModelConfig(), (50, 50, 1), 2, seed=0)
    expected = "a81e8cd34b86"  # pragma: allowlist secret
    assert checksum(model.get_weights()).startswith(expected)
    again = build(ModelConfig(), (50, 50, 1), 2, seed=0)
    other = build(ModelConfig(), (50, 50, 1), 2, seed=1)
    assert checksum(again.get_weights()) == checksum(model.get_weights())
    assert checksum(other.get_weights()) != checksum(model.get_weights())


def test_choices_of_the_process_change_no_network_and_are_kept() -> None:
    expected = build(ModelConfig(), (50, 50, 1), 2, seed=0)
    before = config.dtype_policy(), config.floatx(), config.image_data_format()
    config.set_floatx("float16")
    config.set_dtype_policy("mixed_float16")
    config.set_image_data_format("channels_first")
    try:
        model = build(ModelConfig(), (50, 50, 1), 2, seed=0)
        kept = config.floatx(), config.dtype_policy().name, config.image_data_format()
    finally:
        config.set_dtype_policy(before[0])
        config.set_floatx(before[1])
        config.set_image_data_format(before[2])
    assert kept == ("float16", "mixed_float16", "channels_first")
    assert model.get_config() == expected.get_config()
    assert checksum(model.get_weights()) == checksum(expected.get_weights())


def test_initial_kernels_follow_glorot() -> None:
    model = build(ModelConfig(), (50, 50, 1), 2, seed=3)
    kernel = model.get_layer("hidden").get_weights()[0]
    limit = np.sqrt(6 / sum(kernel.shape))
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_augmentation_changes_images_in_training_only() -> None:
    model = build(ModelConfig(augmentation=True), (24, 24, 3), 2, seed=0)
    plain = build(ModelConfig(), (24, 24, 3), 2, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype("float32")
    predicted = model(pixels, training=False).numpy()
    np.testing.assert_allclose(predicted, plain(pixels).numpy(), atol=1e-6)
    trained = model(pixels, training=True).numpy()
    assert np.abs(trained - plain(pixels).numpy()).max() > 1e-4


def test_images_too_small_for_a_network_are_refused() -> None:
    with pytest.raises(ModelError, match="8 x 8 pixels are too small for lesion_cnn"):
        build(ModelConfig(name="lesion_cnn"), (8, 8, 3), 2, seed=0)


def test_one_class_is_refused() -> None:
    with pytest.raises(ModelError, match="at least 2 classes"):
        build(ModelConfig(), (24, 24, 3), 1, seed=0)
