"""Damage that a decoder ignores is detected, and no intact file is reported as damaged."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.images import REPAIRED, UNCHECKED, UnreadableImage, decode, decode_file
from tests.data.drawn import cell, content

SIDE = 64


def photograph(seed: int) -> Image.Image:
    """Return a cell with camera noise, so that its JPEG contains no long run of zeros."""
    noise = np.random.default_rng(seed).normal(0, 6, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(cell(seed, SIDE)) + noise, 0, 255).astype(np.uint8))


def flipped(file: bytes, number: int, first: int = 0) -> bytes:
    generator = np.random.default_rng(number)
    changed = bytearray(file)
    changed[generator.integers(first, len(file))] ^= 1 << generator.integers(8)
    return bytes(changed)


def without_middle_third(file: bytes) -> bytes:
    first, last = len(file) // 3, 2 * len(file) // 3
    return file[:first] + bytes(last - first) + file[last:]


def reason(file: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(file, SIDE, SIDE, "rgb")
    return caught.value.reason


def pngs() -> Iterator[bytes]:
    image = photograph(1)
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    flat = Image.new("RGB", (SIDE, SIDE), (9, 9, 9))  # most of its data is redundant
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
    np.testing.assert_array_equal(  # data after the last chunk is ignored
        decode(file + b"more", SIDE, SIDE, "rgb"), np.asarray(photograph(1))
    )


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_in_which_libjpeg_warns_is_a_reject_or_a_remark(progressive: bool) -> None:
    for seed in range(30):
        file = without_middle_third(content(photograph(seed), "JPEG", progressive=progressive))
        assert reason(file).startswith("damaged image: ")
        try:
            taken = decode_file(file, SIDE, SIDE, "rgb", "accept")
        except UnreadableImage:
            continue  # progressive data can be beyond repair
        assert taken.remarks == (REPAIRED,)
        assert taken.pixels.shape == (SIDE, SIDE, 3)


def test_damaged_strips_of_tiff_are_noticed_where_they_have_checksums_or_warnings() -> None:
    """Adler-32 is a sum: it misses one in dozens of changes of dark pixels that cancel out."""
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
    file = content(photograph(1), "TIFF", compression="jpeg", quality=90)
    assert reason(without_middle_third(file)).startswith("damaged image")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_damaged_tiff_prints_nothing_on_the_terminal(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = without_middle_third(content(photograph(2), "TIFF", compression=compression))
    reason(file)
    with suppress(UnreadableImage):
        decode_file(file, SIDE, SIDE, "rgb", "accept")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("color", ["rgb", "grey"])
@pytest.mark.parametrize("side", [SIDE, 8 * SIDE])
def test_jpeg_has_the_pixels_that_pillow_gives_it(mode: str, color: str, side: int) -> None:
    """At full size and scaled during decoding; rotated according to EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = photograph(4).resize((side, side + 3), Image.Resampling.BICUBIC).convert(mode)
    pillow = "RGB" if color == "rgb" else "L"
    for options in ({"subsampling": 1}, {"subsampling": 2}, {"progressive": True, "exif": exif}):
        file = content(picture, "JPEG", **options)
        with Image.open(io.BytesIO(file)) as opened:
            opened.draft(pillow, (2 * SIDE, 2 * SIDE))
            turned = opened.transpose(Image.Transpose.ROTATE_270) if "exif" in options else opened
            wanted = turned.convert(pillow).resize(
                (SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0
            )
        found = decode(file, SIDE, SIDE, color)
        np.testing.assert_array_equal(found.squeeze(), np.asarray(wanted))


def test_jpeg_of_a_rare_sampling_is_read_and_said_to_be_unchecked() -> None:
    file = bytearray(content(photograph(1), "JPEG", subsampling=0))
    frame = file.index(b"\xff\xc0")
    file[frame + 11], file[frame + 14] = 0x12, 0x12  # of three components, the first two
    assert decode_file(bytes(file), SIDE, SIDE, "rgb").remarks == (UNCHECKED,)


@pytest.mark.slow
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
