"""Values of columns: image files, prepared pixels and paths are told apart."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data.config import ImageConfig
from data.images import decode
from serving.errors import InputError
from serving.spark.columns import pixels_of_cell, pixels_of_cells

IMAGE = ImageConfig(height=24, width=24)
SIZE = 24 * 24 * 3


def png(length: int | None = None) -> bytes:
    """A PNG file of 8 x 8 pixels, extended by a comment to ``length`` bytes."""
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))

    def saved(comment: str) -> bytes:
        info, file = PngInfo(), io.BytesIO()
        info.add_text("Comment", comment)
        image.save(file, "PNG", pnginfo=info)
        return file.getvalue()

    return saved("" if length is None else "x" * (length - len(saved(""))))


def test_a_file_with_as_many_bytes_as_the_pixels_is_decoded() -> None:
    content = png(SIZE)
    assert len(content) == SIZE
    expected = decode(content, 24, 24, "rgb")
    assert np.array_equal(pixels_of_cell(content, IMAGE), expected)


@settings(max_examples=25)
@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_other_bytes_of_that_length_are_the_pixels(content: bytes) -> None:
    if not content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II", b"MM")):
        assert pixels_of_cell(content, IMAGE).tobytes() == content


def test_pixels_that_begin_like_a_bitmap_are_pixels() -> None:
    content = b"BM" + bytes(SIZE - 2)
    assert pixels_of_cell(content, IMAGE).tobytes() == content


def test_rows_of_prepared_data_are_pixels_whatever_they_begin_with() -> None:
    content = b"\xff\xd8\xff" + bytes(SIZE - 3)
    assert pixels_of_cells((content, 24, 24, 3), IMAGE).tobytes() == content
    with pytest.raises(InputError, match="JPEG"):
        pixels_of_cell(content, IMAGE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((None, 24, 24, 3), "no image: the value is null"),
        ((bytes(SIZE), 24.0, float("nan"), 3), "no image: the value is null"),
        ((bytes(12), -1, -4, 3), "12 bytes are not the pixels of -1 x -4 x 3"),
        ((bytes(12), 3, 2, 2), "an array of shape 3 x 2 x 2 is not an image"),
        ((b"", 0, 0, 3), "an array of shape 0 x 0 x 3 is empty"),
    ],
)
def test_rows_that_are_no_image_are_refused(row: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pixels_of_cells(row, IMAGE)


def test_spark_does_not_encode_paths(tmp_path: Path) -> None:
    for name in ("a b%20c.png", "ä細胞#1?.png"):
        (tmp_path / name).write_bytes(png())
        found = pixels_of_cell(f"file:{tmp_path}/{name}", IMAGE)
        assert np.array_equal(found, decode(png(), 24, 24, "rgb"))
