from pathlib import Path

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from models import BackboneConfig, ModelConfig, ModelError, NetworkSpec, build, checksum
from models.backbones import build_backbone
from models.specification import archive
from models.transfer import with_backbone

SHAPE = (40, 40, 3)
RESNET = BackboneConfig(name="ResNet50", weights="none", image_size=48)


def images(shape: tuple[int, int, int] = SHAPE, count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with ``small_cnn`` for 40 x 40 pixels in RGB and its first layer frozen."""
    path = tmp_path_factory.mktemp("backbone") / "small.keras"
    model = build(ModelConfig(), SHAPE, 2, seed=3)
    model.get_layer("convolution_1").trainable = False
    model.save(path)
    return path


def test_head_behind_its_backbone_is_the_head_on_features() -> None:
    backbone = BackboneConfig(name="small_cnn")
    config = ModelConfig(name="transfer", backbone=backbone)
    built = build_backbone(backbone, SHAPE, seed=2)
    features = np.asarray(built.model(images().astype(np.float32)))
    head = build(config, (1, 1, built.features), 3, seed=1)
    expected = head(features.reshape(4, 1, 1, -1))
    whole = with_backbone(config, head, SHAPE, seed=2)
    np.testing.assert_allclose(whole(images().astype(np.float32)), expected, atol=1e-6)
    assert [layer.name for layer in head.layers[1:]] == ["flatten", "dropout", "probabilities"]


def test_trainable_backbone_keeps_its_weights_and_trains_all_of_them(backbone_file: Path) -> None:
    config = ModelConfig(
        name="transfer", backbone=BackboneConfig(name=str(backbone_file)), trainable=True
    )
    model = build(config, SHAPE, 3, seed=1)
    stored = keras.models.load_model(backbone_file).get_weights()
    for one, other in zip(model.get_weights()[:-2], stored[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(model.trainable_weights) == len(model.weights) == len(stored)
    assert checksum(model.get_weights()) == checksum(build(config, SHAPE, 3, seed=1).get_weights())
    assert checksum(model.get_weights()) != checksum(build(config, SHAPE, 3, seed=2).get_weights())


def test_archive_is_the_network_where_its_backbone_is_missing(
    backbone_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere.keras"
    copy.write_bytes(backbone_file.read_bytes())
    config = ModelConfig(name="transfer", backbone=BackboneConfig(name=str(copy)), trainable=True)
    model = NetworkSpec(config, SHAPE, 2).build(seed=0)
    stored = NetworkSpec(config, SHAPE, 2, archive=archive(model))
    copy.unlink()
    pixels = images().astype(np.float32)
    np.testing.assert_array_equal(stored.build(seed=0)(pixels), model(pixels))
    with pytest.raises(ModelError, match="no backbone file"):
        NetworkSpec(config, SHAPE, 2).build(seed=0)


@pytest.mark.slow
def test_images_are_brought_to_what_the_backbone_takes() -> None:
    config = ModelConfig(name="transfer", backbone=RESNET, trainable=True, augmentation=True)
    grey = images((64, 50, 1))
    model = build(config, (64, 50, 1), 2, seed=0)
    probabilities = np.asarray(model(grey.astype(np.float32)))
    assert probabilities.shape == (4, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    names = [layer.name for layer in model.layers]
    assert names[1:5] == ["random_flip", "random_rotation", "resizing", "channels"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "transfer"}, "transfer needs a backbone"),
        ({"name": "small_cnn", "backbone": "ResNet50"}, "are for model transfer"),
        ({"name": "small_cnn", "trainable": True}, "are for model transfer"),
        (
            {"name": "transfer", "backbone": "ResNet50", "augmentation": True},
            "cannot be augmented: set trainable",
        ),
    ],
)
def test_contradictions_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(values)


def test_head_on_images_is_refused() -> None:
    config = ModelConfig(name="transfer", backbone=RESNET)
    with pytest.raises(ModelError, match=r"requires features \(1, 1, length\)"):
        build(config, SHAPE, 2, seed=0)
