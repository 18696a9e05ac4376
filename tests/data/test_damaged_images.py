"""Damage that a decoder passes over is noticed, and no whole file is taken for damaged."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import UnreadableImage, decode, decode_file
from tests.data.drawn import cell, content

SIDE = 64


def photograph(seed: int) -> Image.Image:
    """A cell with the noise of a camera, which leaves no long run of zeros in a JPEG."""
    noise = np.random.default_rng(seed).normal(0, 6, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(cell(seed, SIDE)) + noise, 0, 255).astype(np.uint8))


def flipped(file: bytes, number: int, first: int = 0) -> bytes:
    generator = np.random.default_rng(number)
    changed = bytearray(file)
    changed[generator.integers(first, len(file))] ^= 1 << generator.integers(8)
    return bytes(changed)


def reason(file: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(file, SIDE, SIDE, "rgb")
    return caught.value.reason


def pngs() -> Iterator[bytes]:
    image = photograph(1)
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    flat = Image.new("RGB", (SIDE, SIDE), (9, 9, 9))  # most of its data says the same again
    yield from map(content, (image, image.convert("P"), deep, flat, image.convert("RGBA")))


def test_no_flipped_bit_of_a_png_is_taken_for_a_picture() -> None:
    for file in pngs():
        decode(file, SIDE, SIDE, "rgb")
        for number in range(80):
            reason(flipped(file, number))


def test_png_says_which_checksum_is_wrong_or_that_it_is_cut() -> None:
    file = content(photograph(1))
    assert reason(flipped(file, 3, file.index(b"IDAT") + 4)) == (
        "damaged image: the checksum of a chunk IDAT is wrong"
    )
    assert reason(file[:-12]) == "damaged image: the file ends before its last chunk"
    np.testing.assert_array_equal(  # what stands behind the last chunk belongs to nobody
        decode(file + b"more", SIDE, SIDE, "rgb"), np.asarray(photograph(1))
    )


def test_damaged_strips_of_tiff_are_noticed_where_they_have_checksums() -> None:
    """Adler-32 is a sum: changes of a few dark pixels that cancel out escape it, one in dozens."""
    noticed = 0
    for number in range(30):
        file = content(photograph(number), "TIFF", compression="tiff_adobe_deflate")
        with Image.open(io.BytesIO(file)) as opened:
            start, count = opened.tag_v2[273][0], opened.tag_v2[279][0]
        strip = flipped(file[start : start + count], number)
        try:
            decode(file[:start] + strip + file[start + count :], SIDE, SIDE, "rgb")
        except UnreadableImage:
            noticed += 1
    assert noticed >= 28


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("c-nmc-7", "*.bmp"), ("ham10000", "*.jpg"), ("malaria-cells", "*.png")],
)
def test_no_real_image_is_taken_for_damaged(
    unzipped: Callable[[str], Path], name: str, pattern: str
) -> None:
    files = sorted(unzipped(name).rglob(pattern))
    for file in files[:: max(1, len(files) // 400)]:
        decoded = decode_file(file.read_bytes(), 48, 48, "rgb")
        assert decoded.remarks == ()
        assert decoded.pixels.std() > 1
