import os
from pathlib import Path

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from models import ModelConfig, ModelError, applications, build
from models.backbones import build_backbone
from models.config import BackboneConfig

SHAPE = (40, 40, 3)
RESNET = BackboneConfig(name="ResNet50", weights="none", image_size=48)


def pixels(shape: tuple[int, int, int], count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.float32)


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with ``small_cnn`` for 40 x 40 pixels in RGB."""
    path = tmp_path_factory.mktemp("backbone") / "small.keras"
    build(ModelConfig(), SHAPE, 2, seed=3).save(path)
    return path


def shared_file(name: str) -> Path:
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("SPARKDL_REAL_DATA", beside)) / name
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    return path


@pytest.mark.slow
def test_application_takes_plain_pixels_and_preprocesses_them_itself() -> None:
    backbone = build_backbone(RESNET, SHAPE, seed=1)
    plain = keras.applications.ResNet50(
        weights=None, include_top=False, pooling="avg", input_shape=(48, 48, 3)
    )
    plain.set_weights(backbone.model.get_weights())
    images = pixels((48, 48, 3))
    expected = plain(keras.applications.resnet50.preprocess_input(images.copy()))
    np.testing.assert_allclose(backbone.model(images), expected, rtol=1e-5)
    assert (backbone.input_shape, backbone.features) == ((48, 48, 3), 2048)


@pytest.mark.slow
def test_named_maps_become_their_means() -> None:
    whole = build_backbone(RESNET, SHAPE)
    config = RESNET.model_copy(update={"layer": "conv2_block3_out"})
    cut = build_backbone(config, SHAPE)
    inner = whole.model.get_layer("backbone")
    maps = keras.Model(inner.inputs[0], inner.get_layer("conv2_block3_out").output)
    prepared = keras.applications.resnet50.preprocess_input(pixels((48, 48, 3)))
    expected = np.mean(maps(prepared), axis=(1, 2))
    np.testing.assert_allclose(cut.model(pixels((48, 48, 3))), expected, rtol=1e-4, atol=1e-4)
    assert cut.digest != whole.digest


def test_own_network_gives_what_its_last_layer_would_get() -> None:
    backbone = build_backbone(BackboneConfig(name="small_cnn"), SHAPE, seed=5)
    model = build(ModelConfig(), SHAPE, classes=3, seed=5)
    hidden = keras.Model(model.inputs[0], model.get_layer("hidden").output)
    np.testing.assert_allclose(backbone.model(pixels(SHAPE)), hidden(pixels(SHAPE)), rtol=1e-5)


def test_file_is_cut_and_its_digest_is_of_content_not_of_place(
    backbone_file: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.keras"
    moved.write_bytes(backbone_file.read_bytes())
    one, other = (
        build_backbone(BackboneConfig(name=str(p)), SHAPE) for p in (backbone_file, moved)
    )
    expected = build_backbone(BackboneConfig(name="small_cnn"), SHAPE, seed=3)
    np.testing.assert_allclose(one.model(pixels(SHAPE)), expected.model(pixels(SHAPE)), rtol=1e-5)
    assert one.digest == other.digest != expected.digest


@pytest.mark.slow
def test_weights_come_from_the_seed() -> None:
    digests = [build_backbone(RESNET, SHAPE, seed=seed).digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.slow
def test_pretrained_file_with_a_named_layer() -> None:
    path = shared_file("efficientnet_lite0.keras")
    config = BackboneConfig(name=str(path), layer="avg_pool", image_size=64)
    backbone = build_backbone(config, (50, 50, 1))
    assert backbone.features == 1280
    one, other = np.asarray(backbone.model(pixels((64, 64, 3), 2)))
    assert np.linalg.norm(one - other) > 0
    with pytest.raises(ModelError, match="no layer 'avgpool'; similar names: avg_pool"):
        build_backbone(config.model_copy(update={"layer": "avgpool"}), (50, 50, 3))


def test_keras_tells_the_sizes_of_every_application() -> None:
    sizes = {name: applications.sizes(name) for name in applications.names()}
    assert sizes["ResNet50"] == (32, 224)
    assert sizes["Xception"] == (71, 299)
    assert all(32 <= smallest < trained for smallest, trained in sizes.values())


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        ("ResNet51", SHAPE, "did you mean 'ResNet50'"),
        ("nowhere.keras", SHAPE, "no backbone file nowhere.keras"),
        ("Xception", SHAPE, "40 x 40 pixels: Xception needs at least 71 x 71"),
        ({"name": "Xception", "image_size": 64}, SHAPE, "image_size 64: Xception needs at least"),
        ({"name": "small_cnn", "layer": "hiden"}, SHAPE, "similar names: hidden"),
    ],
)
def test_what_cannot_be_built(config: object, shape: tuple[int, int, int], message: str) -> None:
    checked = BackboneConfig.model_validate(config)
    with pytest.raises(ModelError, match=message):
        build_backbone(checked, shape)


def test_file_that_fits_nothing(backbone_file: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.keras"
    text.write_text("no model")
    with pytest.raises(ModelError, match="not a Keras 3 model"):
        build_backbone(BackboneConfig(name=str(text)), SHAPE)
    with pytest.raises(ModelError, match="requires images of 40 x 40, not 64"):
        build_backbone(BackboneConfig(name=str(backbone_file), image_size=64), SHAPE)
    with pytest.raises(ValidationError, match="omit weights"):
        BackboneConfig(name=str(backbone_file), weights="none")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Lambda(lambda x: x[:, :, :, 0] * 2)(inputs)
    path = tmp_path / "code.keras"
    keras.Model(inputs, outputs).save(path)
    with pytest.raises(ModelError, match="loaded safely"):
        build_backbone(BackboneConfig(name=str(path)), SHAPE)


@pytest.mark.slow
def test_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure: no such host")  # noqa: TRY002 - as Keras does

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", unreachable)
    with pytest.raises(ModelError, match=r"weights of ResNet50 cannot be loaded .* \.keras file"):
        build_backbone(BackboneConfig(name="ResNet50", image_size=48), SHAPE)
