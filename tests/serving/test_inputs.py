"""Images in any form become the pixels that the ingest would decode, or are refused in a line."""

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.config import ImageConfig
from data.images import decode
from serving.errors import InputError
from serving.inputs import separate, to_pixels

COLOR = ImageConfig(height=24, width=20)
GREY = ImageConfig(height=24, width=20, color="grey")


def drawn(mode: str = "RGB", size: int = 40) -> Image.Image:
    blocks = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((size, size), Image.Resampling.NEAREST)
    return image.convert(mode)


def content(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def from_file(file: bytes, image: ImageConfig = COLOR) -> np.ndarray:
    return decode(file, image.height, image.width, image.color)


@pytest.mark.parametrize("config", [COLOR, GREY])
def test_all_forms_of_a_file_give_the_same_pixels(config: ImageConfig, tmp_path: Path) -> None:
    file = content(drawn())
    path = tmp_path / "Größe 1.png"
    path.write_bytes(file)
    text = base64.b64encode(file).decode()
    wrapped = "\n".join(text[n : n + 76] for n in range(0, len(text), 76))
    expected = from_file(file, config)
    assert expected.shape == config.shape
    forms = (
        file, bytearray(file), memoryview(file), path, str(path), text, wrapped,
        f"data:image/png;base64,{text}", Image.open(path), drawn(), np.asarray(drawn()),
        np.asarray(drawn()).tolist(), np.asarray(drawn()).astype(np.int64),
        np.asarray(drawn()) / 255, np.asarray(drawn().convert("RGBA")),
    )  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(to_pixels(form, config), expected)


def test_short_base64_is_not_taken_for_a_path_that_is_too_long() -> None:
    # Without slashes, this is longer than the name of a file may be.
    text = base64.b64encode(content(Image.new("RGB", (9, 9)), "BMP")).decode()
    assert 255 < len(max(text.split("/"), key=len)) < 4096
    assert to_pixels(text, COLOR).max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_images_of_all_modes(mode: str) -> None:
    pixels = to_pixels(drawn(mode), COLOR)
    assert pixels.shape == (24, 20, 3)
    if mode in ("LA", "PA", "RGBA", "CMYK"):
        difference = pixels.astype(int) - from_file(content(drawn())).astype(int)
        assert abs(difference.mean()) < 60


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_are_converted_like_those_of_a_file(order: str) -> None:
    grey = np.asarray(drawn("L"))
    deep = (grey.astype(np.uint16) * 257).astype(order)
    expected = from_file(content(Image.fromarray(grey)))
    np.testing.assert_array_equal(to_pixels(deep, COLOR), expected)
    np.testing.assert_array_equal(
        to_pixels(Image.fromarray(deep.astype(np.uint16)), COLOR), expected
    )
    whole = Image.fromarray(deep.astype(np.int32))
    assert whole.mode == "I"
    np.testing.assert_array_equal(to_pixels(whole, COLOR), expected)
    np.testing.assert_array_equal(
        to_pixels(Image.fromarray(grey.astype(np.int32)), COLOR), expected
    )


def test_orientation_of_an_opened_photograph_is_kept() -> None:
    photograph = drawn()
    tags = photograph.getexif()
    tags[0x0112] = 6  # a quarter turn
    file = content(photograph, exif=tags)
    expected = from_file(file)
    assert (expected != from_file(content(drawn()))).any()
    np.testing.assert_array_equal(to_pixels(Image.open(io.BytesIO(file)), COLOR), expected)


def test_first_frame_of_an_animation_is_used() -> None:
    frames = [drawn("P"), Image.new("P", (40, 40))]
    film = content(frames[0], "GIF", save_all=True, append_images=frames[1:])
    still = from_file(content(frames[0], "GIF"))
    np.testing.assert_array_equal(to_pixels(film, COLOR), still)
    np.testing.assert_array_equal(to_pixels(Image.open(io.BytesIO(film)), COLOR), still)


def test_prepared_pixels_are_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, COLOR.shape, dtype=np.uint8)
    assert to_pixels(pixels, COLOR) is pixels


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "empty file"),
        (b"no image", "not an image"),
        ("", "empty file"),
        ("photo.jpg", "'photo.jpg': there is no such file, and it is not base64"),
        (Path("photo.jpg"), "photo.jpg cannot be read: No such file or directory"),
        ("x" * 100 + "!", "x…': there is no such file, and it is not base64"),
        ("a\0b!", r"'a\\x00b!': there is no such file"),
        ("/dev/zero", "/dev/zero is not a file"),
        ("/tmp", "/tmp is not a file"),
        ("s3://", "names no bucket"),
        (5, "'int' is not an image"),
        (None, "'NoneType' is not an image"),
        ([[1, 2], [3]], "rows of the array have different lengths"),
        (np.zeros(5), "an array of shape 5 is not an image"),
        (np.zeros((5, 5, 2)), "an array of shape 5 x 5 x 2 is not an image"),
        (np.zeros((1, 5, 5, 3)), "an array of shape 1 x 5 x 5 x 3 is not an image"),
        (np.zeros((3, 5, 5)), "an array of shape 3 x 5 x 5 is not an image"),
        (np.zeros((0, 5)), "an array of shape 0 x 5 is empty"),
        (np.full((5, 5), np.nan), "values that are not finite"),
        (np.full((5, 5), 1.5), "values from 1.5 to 1.5: integers must be from 0 to 255"),
        (np.full((5, 5), -1), "values from -1 to -1"),
        (np.full((5, 5), 300), "values from 300 to 300"),
        (np.full((5, 5), "a"), "an array of <U1 is not an image"),
        (np.zeros((5, 5), complex), "an array of complex128 is not an image"),
        (np.zeros((8001, 8000), np.uint8), "8000 x 8001 is more than 64,000,000 pixels"),
        (Image.new("1", (8001, 8000)), "8001 x 8000 is more than 64,000,000 pixels"),
        (Image.fromarray(np.zeros((5, 5), np.float32)), "floating-point pixels"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        to_pixels(value, COLOR)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is not a file"):
        to_pixels(tmp_path / "pipe.png", COLOR)


def test_inputs_are_separated() -> None:
    one, image = b"file", np.zeros((4, 4, 3), np.uint8)
    assert separate(one) == [one]
    assert separate([one, "path"]) == [one, "path"]
    assert separate(value for value in (one,)) == [one]
    assert len(separate(image)) == 1
    assert len(separate(np.stack([image, image]))) == 2
    assert separate(pd.Series([one, one])) == [one, one]
    assert separate(pd.DataFrame({"anything": [one]})) == [one]
    assert separate(pd.DataFrame({"id": [1], "content": [one]})) == [one]
    assert separate([]) == []
    with pytest.raises(InputError, match="no column of id, other has images"):
        separate(pd.DataFrame({"id": [1], "other": [one]}))
    with pytest.raises(InputError, match="'int' is not an image"):
        separate(5)
