"""Pixels are correct for every file mode, and broken files are rejected with the reason."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data import images
from data.images import REPAIRED, SEVERAL, UnreadableImage, decode, decode_file
from data.remarks import Remarks


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("file_format", ["BMP", "PNG", "TIFF"])
def test_lossless_files_of_the_asked_size_keep_their_pixels(file_format: str):
    pixels = noise(12, 17)
    content = encoded(Image.fromarray(pixels), file_format)
    np.testing.assert_array_equal(decode(content, 12, 17, "rgb"), pixels)


def test_grey_has_one_channel():
    pixels = noise(9, 9)[..., 0]
    decoded = decode(encoded(Image.fromarray(pixels)), 9, 9, "grey")
    np.testing.assert_array_equal(decoded, pixels[..., None])


def test_downscaling_averages_over_all_pixels():
    """A checkerboard of single pixels becomes gray, which would not happen by picking pixels."""
    board = (np.indices((480, 450)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = decode(encoded(Image.fromarray(board)), 48, 45, "grey").astype(int)
    assert abs(small - 127).max() <= 2


def test_exif_orientation_is_applied():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was rotated: the left edge belongs at the top
    decoded = decode(encoded(Image.fromarray(pixels), exif=exif), 20, 10, "rgb")
    assert decoded[:10].min() == 255
    assert decoded[10:].max() == 0


def test_transparent_pixels_become_black():
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[:, :4, 3], pixels[:, 4:, 3] = 255, 0
    decoded = decode(encoded(Image.fromarray(pixels)), 8, 8, "rgb")
    assert (decoded[:, :4] == 200).all()
    assert (decoded[:, 4:] == 0).all()


def test_palette_images_give_their_colours():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (250, 20, 90)
    content = encoded(Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE))
    np.testing.assert_array_equal(decode(content, 8, 8, "rgb"), pixels)


def test_16_bit_grey_is_scaled_by_its_whole_range():
    values = np.array([[0, 257, 32896, 65535]] * 4, np.uint16)
    decoded = decode(encoded(Image.fromarray(values)), 4, 4, "grey")
    assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]


def tiff(pixels: np.ndarray, **tags: int) -> bytes:
    """Encode 16-bit gray values as uncompressed little-endian TIFF with tags by number."""
    height, width = pixels.shape
    data = pixels.astype("<u2").tobytes()
    given = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    given |= {279: len(data)} | {int(name.removeprefix("t")): tags[name] for name in tags}
    entries = [struct.pack("<HHII", tag, 4, 1, given[tag]) for tag in sorted(given)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def test_white_is_zero_is_followed_with_16_bits_as_with_8():
    values = np.array([[0, 257, 32896, 65535]] * 4, np.uint16)
    decoded = decode(tiff(values, t262=0), 4, 4, "grey")
    assert decoded[0, :, 0].tolist() == [255, 254, 127, 0]


def test_range_that_a_tiff_says_is_scaled_to_8_bits():
    values = np.array([[0, 1028, 2047, 4095]] * 4, np.uint16)
    whole = [0, 64, 127, 255]
    assert decode(tiff(values, t281=4095), 4, 4, "grey")[0, :, 0].tolist() == whole
    packed = values.astype(int)  # two values of 12 bits in three bytes
    bits = "".join(f"{value:012b}" for value in packed.ravel())
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    file = tiff(np.frombuffer(data, "<u2").reshape(4, 3), t256=4, t258=12)
    assert decode(file, 4, 4, "grey")[0, :, 0].tolist() == whole


def test_largest_value_of_one_image_decides_no_range():
    """MaxSampleValue is only a statistic: scaling by it would brighten a dim image."""
    values = np.array([[0, 1000, 2000, 3000]] * 4, np.uint16)
    decoded = decode_file(tiff(values, t281=3000), 4, 4, "grey")
    assert decoded.pixels[0, :, 0].tolist() == [0, 4, 8, 12]
    assert decoded.bits == 12


def test_16_bits_of_which_few_are_used_are_noted_for_the_whole_set():
    remarks = Remarks()
    dim, bright = np.full((4, 4), 4095, np.uint16), np.full((4, 4), 65535, np.uint16)
    colour = encoded(Image.fromarray(noise(4, 4) // 16))  # a 16-bit PNG, by its upper bytes
    for file in (encoded(Image.fromarray(dim)), encoded(Image.fromarray(dim // 2))):
        remarks.add("a.png", (), decode_file(file, 4, 4, "rgb").bits)
    assert decode_file(colour, 4, 4, "rgb").bits is None
    assert "2 images of 16 bits use only 12: no value is above 4,095" in remarks.notes()[0]
    assert "17 of 256 gray levels" in remarks.notes()[0]
    remarks.add("b.png", (), decode_file(encoded(Image.fromarray(bright)), 4, 4, "rgb").bits)
    assert remarks.notes() == []


def test_image_is_taken_where_a_tiff_begins_with_its_thumbnail():
    image, thumbnail = Image.fromarray(noise(40, 40)), Image.fromarray(noise(10, 10, 1))
    file = encoded(thumbnail, "TIFF", save_all=True, append_images=[image, thumbnail])
    decoded = decode_file(file, 40, 40, "rgb")
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image))
    assert decoded.remarks == (SEVERAL,)


@pytest.mark.parametrize("file_format", ["TIFF", "GIF", "WEBP", "PNG"])
def test_first_of_several_equal_frames_is_taken_with_a_remark(file_format: str):
    frames = [Image.new("RGB", (16, 16), (shade, 40, 200)) for shade in (250, 120, 10)]
    file = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    decoded = decode_file(file, 16, 16, "rgb")
    assert abs(decoded.pixels.astype(int) - (250, 40, 200)).max() <= 6
    assert decoded.remarks == (SEVERAL,)


def test_broken_list_of_pages_is_damage():
    image = Image.fromarray(noise(8, 8))
    file = bytearray(encoded(image, "TIFF", save_all=True, append_images=[image]))
    entries, start = 2, int.from_bytes(file[4:8], "little")
    last = start + entries + 12 * int.from_bytes(file[start : start + entries], "little")
    file[last : last + 4] = (len(file) - 3).to_bytes(4, "little")
    with pytest.raises(UnreadableImage, match="its list of pages is broken"):
        decode(bytes(file), 8, 8, "rgb")
    taken = decode_file(bytes(file), 8, 8, "rgb", "accept")
    np.testing.assert_array_equal(taken.pixels, np.asarray(image))
    assert REPAIRED in taken.remarks


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x1cftypheic", "HEIF"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
    ],
)
def test_content_of_a_format_that_is_not_read_is_named(first: bytes, name: str):
    with pytest.raises(UnreadableImage, match=f"{name} is not read: save it as PNG or TIFF"):
        decode(first + bytes(200), 8, 8, "rgb")


def test_cmyk_jpeg_gives_its_colour():
    content = encoded(Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK"), "JPEG")
    assert abs(decode(content, 16, 16, "rgb").astype(int) - (200, 40, 40)).max() <= 6


@pytest.mark.slow
def test_large_jpeg_decoded_at_reduced_scale_looks_the_same():
    smooth = Image.fromarray(noise(6, 6)).resize((1200, 1200), Image.Resampling.BICUBIC)
    from_jpeg = decode(encoded(smooth, "JPEG", quality=95), 48, 48, "rgb").astype(int)
    from_png = decode(encoded(smooth), 48, 48, "rgb").astype(int)
    assert abs(from_jpeg - from_png).mean() < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"patient,label\n1,all\n", "not an image"),
        (encoded(Image.fromarray(noise(64, 64)))[:-4000], "damaged image"),
        (encoded(Image.fromarray(noise(64, 64)), "BMP")[:-4000], "damaged image"),
        (encoded(Image.fromarray(noise(64, 64)), "JPEG")[:-900], "damaged image"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_broken_files_say_what_is_wrong(content: bytes, reason: str):
    with pytest.raises(UnreadableImage) as caught:
        decode(content, 48, 48, "rgb")
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason


def test_an_image_that_claims_too_many_pixels_is_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 99)
    with pytest.raises(UnreadableImage, match="10 x 10 is more than 99 pixels"):
        decode(encoded(Image.fromarray(noise(10, 10))), 8, 8, "rgb")


def test_formats_that_call_other_programs_are_no_images():
    assert {"EPS", "WMF", "PDF"}.isdisjoint(images.FORMATS)
    with pytest.raises(UnreadableImage, match="PostScript is not read: save it as PNG or TIFF"):
        decode(encoded(Image.fromarray(noise(8, 8)), "EPS"), 8, 8, "rgb")


def test_a_jpeg_of_very_many_scans_is_refused_before_decoding():
    content = encoded(Image.fromarray(noise(64, 64)), "JPEG", progressive=True)
    last = content.rindex(images._START_OF_SCAN)
    scans = content[:last] + content[last:-2] * 500 + content[-2:]
    assert decode(content, 8, 8, "rgb").shape == (8, 8, 3)
    with pytest.raises(UnreadableImage, match="more than 200 scans"):
        decode(scans, 8, 8, "rgb")


def test_bands_of_a_tall_transparent_image_join_without_a_seam():
    pixels = np.random.default_rng(3).integers(0, 256, (600, 4, 4), np.uint8)
    image = Image.fromarray(pixels)
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
    whole = np.asarray(Image.alpha_composite(ground, image).convert("RGB"))
    np.testing.assert_array_equal(decode(encoded(image), 600, 4, "rgb"), whole)
    palette = image.convert("RGB").quantize(16)
    palette.info["transparency"] = 3
    layer = palette.convert("RGBA")
    whole = np.asarray(Image.alpha_composite(ground, layer).convert("RGB"))
    content = encoded(palette, transparency=3)
    np.testing.assert_array_equal(decode(content, 600, 4, "rgb"), whole)


def test_bands_of_a_tall_16_bit_image_join_without_a_seam():
    values = np.random.default_rng(3).integers(0, 65536, (600, 4), np.uint16)
    decoded = decode(encoded(Image.fromarray(values)), 600, 4, "grey")
    np.testing.assert_array_equal(decoded[..., 0], np.round(values / 257).astype(np.uint8))


@settings(deadline=None)  # the machine may be busy
@given(cut=st.integers(0, 900), flips=st.lists(st.tuples(st.integers(0, 899), st.integers(1, 255))))
def test_any_damage_gives_pixels_or_is_unreadable(cut: int, flips: list[tuple[int, int]]):
    content = bytearray(encoded(Image.fromarray(noise(16, 16))))
    for position, change in flips:
        content[position % len(content)] ^= change
    try:
        decoded = decode(bytes(content[:cut]), 8, 8, "rgb")
    except UnreadableImage:
        return
    assert decoded.shape == (8, 8, 3)
