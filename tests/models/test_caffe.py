"""Networks of Caffe, compared with OpenCV's reader of the same files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from backends.bigdl.translation import obstacle
from models import ModelConfig, build
from models.backbones import build_backbone
from models.caffe import build_caffe, check, head_note, read_definition
from models.config import BackboneConfig
from models.errors import ModelError
from models.specification import NetworkSpec, archive
from tests.models.caffe_networks import (
    Net,
    alexnet,
    every_layer,
    googlenet,
    random_weights,
    resnet50,
    vgg16,
    write_weights,
)

CLASSES = 5


def caffenet(side: int, classes: int) -> Net:
    return alexnet(side, classes, pools_first=True)


def written(net: Net, side: int, folder: Path) -> tuple[Path, Path]:
    prototxt, weights = folder / "deploy.prototxt", folder / "net.caffemodel"
    prototxt.write_text(net.text)
    write_weights(weights, random_weights(net.text, (3, side, side), CLASSES))
    return prototxt, weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "side"),
    [
        (alexnet, 115),
        (caffenet, 115),
        (vgg16, 64),
        (googlenet, 96),
        (resnet50, 64),
        (every_layer, 33),
    ],
)
def test_probabilities_are_those_of_opencv(
    make: Callable[[int, int], Net], side: int, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    prototxt, weights = written(make(side, CLASSES), side, tmp_path)
    definition = read_definition(prototxt, weights)
    pixels = np.random.default_rng(1).integers(0, 256, (3, side, side, 3)).astype(np.float32)
    model = build_caffe(definition, (side, side, 3), CLASSES, seed=0)
    found = np.asarray(model(pixels, training=False))
    mean = np.array(definition.preprocessing.mean or [0, 0, 0], np.float32)
    images = (pixels[..., ::-1] - mean) * definition.preprocessing.scale
    reference = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    reference.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    expected = reference.forward()
    assert expected.std() > 1e-3, "the comparison needs outputs that differ"
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-4)


@pytest.mark.slow
def test_features_of_a_backbone_are_those_of_opencv(tmp_path: Path) -> None:
    """The features are the input of the last inner product, of images of the network's size."""
    cv2 = pytest.importorskip("cv2")
    prototxt, weights = written(every_layer(33, CLASSES), 33, tmp_path)
    config = BackboneConfig(name=str(prototxt), caffemodel=str(weights))
    backbone = build_backbone(config, (20, 24, 3))
    assert (backbone.input_shape, backbone.features) == ((33, 33, 3), 16)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 33, 33, 3)).astype(np.float32)
    mean = np.array([90, 100, 110], np.float32)
    reference = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    images = (pixels[..., ::-1] - mean) * 0.02
    reference.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    expected = reference.forward("sigmoid")
    assert expected.std() > 1e-3
    np.testing.assert_allclose(np.asarray(backbone.model(pixels)), expected, atol=1e-4)
    assert build_backbone(config, (20, 24, 3), seed=5).digest == backbone.digest
    drawn = BackboneConfig(name=str(prototxt))
    assert drawn.draws_weights
    digests = {build_backbone(drawn, (33, 33, 3), seed=seed).digest for seed in (0, 1)}
    assert len(digests | {backbone.digest}) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "net.keras", "caffemodel": "a.caffemodel"}, "for the definition of a Caffe"),
        ({"name": "net.prototxt", "image_size": 64}, "omit image_size"),
        ({"name": "net.prototxt", "weights": "none"}, "has its own: omit weights"),
    ],
)
def test_settings_of_other_backbones_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BackboneConfig.model_validate(values)


def test_pooling_of_maps_that_are_too_small_is_refused(tmp_path: Path) -> None:
    net = Net("small", (3, 8, 8))
    net.conv("conv", 4, 5)
    net.pool("large", "MAX", 5, 2)
    net.inner("scores", CLASSES)
    (tmp_path / "net.prototxt").write_text(net.text)
    definition = read_definition(tmp_path / "net.prototxt")
    with pytest.raises(ModelError, match="layer 'large' pools 5 x 5 windows of maps of 4 x 4"):
        build_caffe(definition, (8, 8, 3), CLASSES, seed=0)
    small_images = replace(definition, shape=(3, 4, 4))
    with pytest.raises(ModelError, match=r"layer 'conv' \(Convolution\) cannot be built for maps"):
        build_caffe(small_images, (4, 4, 3), CLASSES, seed=0)


def test_windows_that_keras_can_place_need_no_padded_copy(tmp_path: Path) -> None:
    net = Net("even", (3, 24, 24))
    net.conv("conv", 4, 3, "pad: 1")
    net.pool("pool", "MAX", 3, 2)
    net.inner("scores", CLASSES)
    (tmp_path / "net.prototxt").write_text(net.text)
    model = build_caffe(read_definition(tmp_path / "net.prototxt"), (24, 24, 3), CLASSES, seed=0)
    assert model.get_layer("pool").padding == "same"
    assert model.get_layer("pool").output.shape == (None, 12, 12, 4)
    assert obstacle(model) is None, "every backend can train it"


def test_fillers_draw_the_initial_weights(tmp_path: Path) -> None:
    """Means and deviations are those that Caffe's documentation defines."""
    net = Net("filled", (3, 40, 40))
    net.conv("gaussian", 64, 5, "weight_filler { type: 'gaussian' std: 0.0001 }")
    net.conv("msra", 64, 3, "weight_filler { type: 'msra' } bias_filler { value: 0.5 }")
    net.conv("plain", 8, 3)
    net.layer("Flatten", "flat")
    inner = "num_output: 5 weight_filler { type: 'xavier' variance_norm: AVERAGE }"
    net.layer("InnerProduct", "xavier", f"inner_product_param {{ {inner} }}")
    net.layer("Softmax", "prob")
    (tmp_path / "net.prototxt").write_text(net.text)
    definition = read_definition(tmp_path / "net.prototxt")
    model = build_caffe(definition, (40, 40, 3), CLASSES, seed=0)
    kernel, bias = model.get_layer("gaussian").get_weights()
    assert kernel.std() == pytest.approx(0.0001, rel=0.05)
    assert not bias.any()
    kernel, bias = model.get_layer("msra").get_weights()
    assert kernel.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.05)
    np.testing.assert_array_equal(bias, 0.5)
    (kernel, _), (inputs, outputs) = model.get_layer("xavier").get_weights(), (8 * 32 * 32, 5)
    limit = np.sqrt(3 / ((inputs + outputs) / 2))
    assert np.abs(kernel).max() == pytest.approx(limit, rel=0.01)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    again = build_caffe(definition, (40, 40, 3), CLASSES, seed=0)
    other = build_caffe(definition, (40, 40, 3), CLASSES, seed=1)
    for name in ("gaussian", "msra", "plain", "xavier"):
        first, same, different = (
            one.get_layer(name).get_weights()[0] for one in (model, again, other)
        )
        np.testing.assert_array_equal(first, same)
        assert np.abs(first - different).max() > 0


def small(folder: Path) -> tuple[Path, Path]:
    return written(every_layer(33, CLASSES), 33, folder)


@pytest.mark.slow
def test_network_is_shipped_as_an_archive_and_has_the_classes_of_the_data(tmp_path: Path) -> None:
    prototxt, weights = small(tmp_path)
    config = ModelConfig(name="caffe", prototxt=str(prototxt), weights=str(weights))
    model = build(config, (20, 24, 3), classes=2, seed=3)
    again = build(config, (20, 24, 3), classes=2, seed=3)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    shipped = NetworkSpec(config, (20, 24, 3), 2, archive=archive(model)).build(seed=0)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 20, 24, 3)).astype(np.float32)
    expected = np.asarray(model(pixels))
    assert expected.shape == (4, 2)
    np.testing.assert_allclose(np.asarray(shipped(pixels)), expected, atol=1e-6)
    note = head_note(read_definition(prototxt, weights), 2)
    assert note is not None
    assert note.startswith("The last layer 'scores' of the Caffe network has 5 outputs")
    assert head_note(read_definition(prototxt, weights), CLASSES) is None


@pytest.mark.slow
def test_old_form_of_layers_is_read(tmp_path: Path) -> None:
    old = """
    name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
    layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
             convolution_param { num_output: 2 kernel_size: 3 } }
    layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
    layers { name: "ip" type: INNER_PRODUCT bottom: "conv" top: "ip"
             inner_product_param { num_output: 2 } }
    layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }
    """
    path = tmp_path / "old.prototxt"
    path.write_text(old)
    definition = read_definition(path)
    assert [layer.type for layer in definition.layers] == [
        *("Convolution", "ReLU", "InnerProduct", "SoftmaxWithLoss"),
    ]
    model = build_caffe(definition, (8, 8, 1), 2, seed=0)
    assert [layer.name for layer in model.layers if layer.weights] == ["conv", "ip"]
    assert np.asarray(model(np.zeros((1, 8, 8, 1), np.float32))).shape == (1, 2)


def test_training_definition_is_read_in_its_test_phase(tmp_path: Path) -> None:
    net = every_layer(33, CLASSES).text
    extra = """
    layer { name: "train" type: "ImageData" top: "data" include { phase: TRAIN }
            transform_param { crop_size: 24 mean_value: 1 mean_value: 2 mean_value: 3 } }
    layer { name: "only_train" type: "Python" bottom: "data" top: "x" include { phase: TRAIN } }
    layer { name: "accuracy" type: "Accuracy" bottom: "prob" top: "accuracy" }
    """
    path = tmp_path / "train_val.prototxt"
    path.write_text(extra + net[net.index("\n", net.index('type: "Input"')) :])
    definition = read_definition(path)
    assert definition.shape == (3, 24, 24)
    assert definition.preprocessing.mean == (1, 2, 3)
    assert not {"only_train", "accuracy", "train"} & {layer.name for layer in definition.layers}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "Crop" bottom: "data" top: "x"', r"cannot be translated: 'strange' \(Crop\)"),
        ('type: "MVN" bottom: "data" top: "x"', r"cannot be translated: 'strange' \(MVN\)"),
        ('type: "Pooling" bottom: "data" top: "x"', "which only a convolution of one group can"),
    ],
)
def test_layer_that_cannot_be_translated_is_named(tmp_path: Path, layer: str, message: str) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_text(every_layer(33, CLASSES).text + f'layer {{ name: "strange" {layer} }}\n')
    with pytest.raises(ModelError, match=message):
        check(read_definition(path))


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    with pytest.raises(ModelError, match="cannot be read as a Caffe network"):
        read_definition(path)
    path.write_text("layer { name: }")
    with pytest.raises(ModelError, match="cannot be read as a Caffe network"):
        read_definition(path)
    path.write_text(every_layer(33, CLASSES).text)
    other.write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match="cannot be read as the weights"):
        read_definition(path, other)
    write_weights(other, [("another", [np.zeros((1, 1), np.float32)])])
    with pytest.raises(ModelError, match="has weights for none of the layers"):
        read_definition(path, other)


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    prototxt, weights = small(tmp_path)
    write_weights(weights, [("hidden", [np.zeros((16, 7), np.float32), np.zeros(16, np.float32)])])
    with pytest.raises(ModelError, match="'hidden' in the Caffe file have the shapes"):
        build_caffe(read_definition(prototxt, weights), (33, 33, 3), CLASSES, seed=0)


def test_definition_is_required_and_only_for_caffe() -> None:
    with pytest.raises(ValueError, match="needs the definition of a network"):
        ModelConfig(name="caffe")
    with pytest.raises(ValueError, match="are for model caffe, not small_cnn"):
        ModelConfig(prototxt="deploy.prototxt")
