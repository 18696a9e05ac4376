"""Heat maps mark the parts of an image on which a class depends, and nothing else."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from serving.explanation import explain, heat_map_png

SIDES = (16, 48, 96, 97, 224)


class Corner:
    """Classifier whose class 1 depends only on the brightness of the lower left corner."""

    def __init__(self, part: int = 4, gain: float = 20.0) -> None:
        self.part, self.gain = part, gain
        self.largest_batch = self.images = 0

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        self.images += len(pixels)
        self.largest_batch = max(self.largest_batch, len(pixels))
        height, width = np.array(pixels.shape[1:3]) // self.part
        logit = self.gain * (pixels[:, -height:, :width].mean(axis=(1, 2, 3)) / 255 - 0.25)
        one = 1 / (1 + np.exp(-logit))
        return np.stack([1 - one, one], axis=1).astype(np.float32)


def picture(height: int, width: int) -> np.ndarray:
    """Bright noise within a black border."""
    pixels = np.random.default_rng(0).integers(120, 256, (height, width, 3), dtype=np.uint8)
    pixels[0] = pixels[-1] = 0
    pixels[:, 0] = pixels[:, -1] = 0
    return pixels


@pytest.mark.parametrize("side", SIDES)
def test_only_the_corner_is_marked_on_which_the_class_depends(side: int):
    heat = explain(Corner(), picture(side, side), 1)
    assert heat.shape == (side, side)
    assert heat.dtype == np.float32
    assert heat.min() == 0
    assert heat.max() == 1
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row >= side - side // 4
    assert column < side // 4
    # A patch reaches its own side, a fifth of the image, beyond the corner; interpolation half of
    # the distance between two positions, which is at most half of a patch.
    reach = side // 4 + round(1.25 * max(6, side / 5 + 2))
    outside = heat.copy()
    outside[-reach:, :reach] = 0
    assert not outside.any()


def test_covering_what_speaks_against_a_class_marks_nothing():
    assert not explain(Corner(), picture(48, 48), 0).any()


def test_an_image_that_is_wider_than_high():
    heat = explain(Corner(), picture(24, 96), 1)
    assert heat.shape == (24, 96)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row >= 18
    assert column < 24


def test_a_network_that_is_certain_is_explained_too():
    # In float32 the probability is 1 whether or not a part of the corner is covered.
    certain = Corner(gain=60.0)
    pixels = picture(48, 48)
    assert certain.of_pixels(pixels[None])[0, 1] == 1
    row, column = np.unravel_index(explain(certain, pixels, 1).argmax(), (48, 48))
    assert row >= 36
    assert column < 12


def test_a_network_that_ignores_the_image_has_an_empty_map():
    assert not explain(Corner(gain=0.001), picture(48, 48), 1).any()


def test_gray_images_and_the_image_itself_stay_as_they_are():
    pixels = picture(32, 32)[..., :1]
    before = pixels.copy()
    assert explain(Corner(), pixels, 1).max() == 1
    assert (pixels == before).all()


def test_the_memory_is_bounded_and_large_images_take_fewer_passes():
    small, large = Corner(), Corner()
    explain(small, picture(48, 48), 1)
    explain(large, picture(224, 224), 1)
    assert small.images == 325
    assert large.images == 145
    assert max(small.largest_batch, large.largest_batch) <= 64


@pytest.mark.parametrize(
    ("pixels", "class_index", "message"),
    [
        (np.zeros((48, 48), np.uint8), 0, "expected uint8 pixels"),
        (np.zeros((48, 48, 3), np.float32), 0, "expected uint8 pixels"),
        (np.zeros((48, 48, 3), np.uint8), 2, "there is no class 2"),
    ],
)
def test_wrong_arguments_are_refused(pixels: np.ndarray, class_index: int, message: str):
    with pytest.raises(ValueError, match=message):
        explain(Corner(), pixels, class_index)


def test_the_opacity_of_a_heat_map_is_its_value():
    heat = np.array([[0.0, 0.5, 1.0]], np.float32)
    found = np.asarray(Image.open(io.BytesIO(heat_map_png(heat))))
    assert found.shape == (1, 3, 4)
    assert found[0, :, 3].tolist() == [0, 128, 255]
    assert found[0, 2, :3].tolist() == [253, 231, 37]


@pytest.mark.slow
def test_a_small_network_is_explained_in_less_than_a_second_on_one_core():
    from models import ModelConfig, build
    from models.openvino_form import compiled, convert

    model = build(ModelConfig(name="small_cnn"), (48, 48, 3), 2, seed=0)
    network = compiled(convert(model, (48, 48, 3)), threads=1)

    class Small:
        def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
            return np.array(network([pixels])[0])

    explain(Small(), picture(48, 48), 1)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        explain(Small(), picture(48, 48), 1)
        times.append(time.perf_counter() - began)
    assert min(times) < 1
