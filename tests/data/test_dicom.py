"""DICOM files are converted to the pixels that a viewer shows, or rejected with a reason."""

import io
from typing import Any

import numpy as np
import pytest

from data import dicom as extra
from data import images
from data.images import NARROW, UnreadableImage, decode, decode_at_own_size, decode_file
from data.remarks import Remarks
from tests.data.dicom_files import dicom, written
from tests.data.drawn import cell, content

pytest.importorskip("pydicom")

RAMP = np.arange(0, 256, 4, np.uint8).reshape(8, 8)
DEEP = RAMP.astype(np.uint16) * 16


def grey(file: bytes) -> np.ndarray:
    return decode(file, 8, 8, "grey")[..., 0]


def test_8_bit_grey_and_colour_are_kept_as_they_are():
    np.testing.assert_array_equal(grey(dicom(RAMP)), RAMP)
    colour = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1).copy()
    np.testing.assert_array_equal(decode(dicom(colour), 8, 8, "rgb"), colour)
    np.testing.assert_array_equal(decode_at_own_size(dicom(colour)), colour)
    assert decode_at_own_size(dicom(RAMP)).shape == (8, 8)


def test_white_is_0_in_monochrome1():
    np.testing.assert_array_equal(
        grey(dicom(RAMP, PhotometricInterpretation="MONOCHROME1")), 255 - RAMP
    )


def test_12_bits_in_16_are_scaled_by_the_range_that_the_file_declares():
    found = decode_file(dicom(DEEP, BitsStored=12), 8, 8, "grey")
    np.testing.assert_array_equal(found.pixels[..., 0], np.round(DEEP / 4095 * 255))
    assert (found.bits, found.remarks) == (None, ())


def test_16_bits_are_scaled_by_the_full_range_and_the_used_bits_are_noted():
    found = decode_file(dicom(DEEP), 8, 8, "grey")
    np.testing.assert_array_equal(found.pixels[..., 0], np.round(DEEP / 65535 * 255))
    assert found.bits == 12
    remarks = Remarks()
    remarks.add("a.dcm", found.remarks, found.bits)
    assert "images of 16 bits use only 12:" in remarks.notes()[0]


def test_rescale_and_window_give_what_a_viewer_shows():
    stored = np.arange(-1024, 3072, 64, np.int16).reshape(8, 8)
    window: dict[str, Any] = {
        "WindowCenter": 40,
        "WindowWidth": 400,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    }
    # PS3.3 C.11.2.1.2.1
    shown = np.clip((stored - 39.5) / 399 + 0.5, 0, 1) * 255
    np.testing.assert_allclose(grey(dicom(stored, **window)), shown, atol=0.51)
    shifted = window | {"RescaleSlope": 2, "RescaleIntercept": -1024}
    shown = np.clip((stored * 2.0 - 1024 - 39.5) / 399 + 0.5, 0, 1) * 255
    np.testing.assert_allclose(grey(dicom(stored, **shifted)), shown, atol=0.51)
    several = shifted | {"WindowCenter": [40, 500], "WindowWidth": [400, 2000]}
    np.testing.assert_array_equal(grey(dicom(stored, **several)), grey(dicom(stored, **shifted)))
    exact = window | {"VOILUTFunction": "LINEAR_EXACT"}
    shown = np.clip((stored - 40.0) / 400 + 0.5, 0, 1) * 255
    np.testing.assert_allclose(grey(dicom(stored, **exact)), shown, atol=0.51)


def test_rescale_without_a_window_keeps_the_range_and_a_negative_slope_inverts_it():
    rescale: dict[str, Any] = {"BitsStored": 12, "RescaleIntercept": -1000}
    plain = grey(dicom(DEEP, BitsStored=12))
    np.testing.assert_array_equal(grey(dicom(DEEP, RescaleSlope=3, **rescale)), plain)
    np.testing.assert_array_equal(grey(dicom(DEEP, RescaleSlope=-3, **rescale)), 255 - plain)
    zero_width: dict[str, Any] = {"WindowCenter": 0, "WindowWidth": 0}
    np.testing.assert_array_equal(grey(dicom(DEEP, BitsStored=12, **zero_width)), plain)


def test_signed_values_without_a_window_that_fill_little_of_their_range_are_remarked():
    stored = np.arange(-1024, 3072, 64, np.int16).reshape(8, 8)
    found = decode_file(dicom(stored), 8, 8, "grey")
    np.testing.assert_array_equal(found.pixels[..., 0], np.round((stored + 32768.0) / 257))
    assert found.remarks == (NARROW,)
    remarks = Remarks()
    remarks.add("a.dcm", found.remarks, found.bits)
    assert remarks.notes()[0].startswith(
        "DICOM files without a window that use less than a quarter"
    )


@pytest.mark.parametrize("bits", [8, 12])
def test_table_of_voi_is_used_where_there_is_no_window(bits: int):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4096, 0, bits]
    table.LUTData = [*np.linspace(2**bits - 1, 0, 4096).astype(int).tolist()]
    table["LUTData"].VR = "US"
    found = grey(dicom(DEEP, BitsStored=12, VOILUTSequence=[table]))
    np.testing.assert_allclose(found, 255 - DEEP / 4095 * 255, atol=1)


def test_palette_gives_its_colours():
    tables: dict[str, Any] = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, high in (("Red", 255), ("Green", 128), ("Blue", 0))
        for part, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", (np.linspace(0, high, 256).astype(np.uint16) * 257).tobytes()),
        )
    }
    found = decode(dicom(RAMP, PhotometricInterpretation="PALETTE COLOR", **tables), 8, 8, "rgb")
    np.testing.assert_allclose(found[..., 0], RAMP, atol=1)
    np.testing.assert_allclose(found[..., 1], RAMP / 2, atol=1)
    assert not found[..., 2].any()


def test_ybr_becomes_rgb():
    colour = np.asarray(cell(3))
    ybr = np.asarray(cell(3).convert("YCbCr"))
    found = decode(dicom(ybr, PhotometricInterpretation="YBR_FULL"), 48, 48, "rgb")
    np.testing.assert_allclose(found.astype(int), colour, atol=3)


def compressed(values: np.ndarray, syntax: str, kind: str, frame: bytes) -> bytes:
    from pydicom import dcmread
    from pydicom.encaps import encapsulate

    dataset = dcmread(io.BytesIO(dicom(values)))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PhotometricInterpretation = kind
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return written(dataset)


def test_compressed_files_are_decoded():
    from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

    colour = np.asarray(cell(3))
    jpeg = compressed(
        colour, JPEGBaseline8Bit, "YBR_FULL_422", content(cell(3), "JPEG", quality=95)
    )
    difference = abs(decode(jpeg, 48, 48, "rgb").astype(int) - colour)
    assert difference.mean() < 6
    lossless = compressed(
        colour, JPEG2000Lossless, "YBR_RCT", content(cell(3), "JPEG2000", no_jp2=True)
    )
    np.testing.assert_array_equal(decode(lossless, 48, 48, "rgb"), colour)


def test_lossless_jpeg_is_decoded_where_gdcm_is_installed():
    pytest.importorskip("gdcm")
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGLosslessSV1

    assert get_decoder(JPEGLosslessSV1).is_available


def test_old_files_without_a_header_are_read():
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(dicom(RAMP)))
    buffer = io.BytesIO()
    del dataset.file_meta
    dataset.preamble = None
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    assert buffer.getvalue()[128:132] != b"DICM"
    np.testing.assert_array_equal(grey(buffer.getvalue()), RAMP)


def video() -> bytes:
    from pydicom.uid import MPEG2MPML

    return compressed(RAMP, MPEG2MPML, "MONOCHROME2", b"frame")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (lambda: dicom(np.stack([RAMP] * 3), NumberOfFrames=3), "of 3 frames: save each frame"),
        (lambda: dicom(RAMP, Rows=0, Modality="SR"), r"without pixels \(of the modality SR\)"),
        (lambda: dicom(RAMP)[:-20], "damaged image: "),
        (lambda: dicom(RAMP)[:200], "without pixels|damaged"),
        (lambda: dicom(DEEP.astype(np.uint32)), "32-bit pixels have no fixed range"),
        (lambda: dicom(DEEP, RescaleSlope=0, RescaleIntercept=0), "leave no range of gray"),
        (lambda: dicom(RAMP, PhotometricInterpretation="HSV"), "PhotometricInterpretation HSV"),
        (video, "compressed as MPEG2 .* no decoder is installed: save it"),
        (lambda: bytes(128) + b"DICM" + bytes(99), "DICOM|damaged"),
    ],
)
def test_what_is_no_single_image_says_so(file, reason: str):
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(file(), 8, 8, "grey")
    assert "\n" not in caught.value.reason


def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 63)
    with pytest.raises(UnreadableImage, match="8 x 8 is more than 63 pixels"):
        grey(dicom(RAMP))


def test_without_the_extra_the_reason_names_it(monkeypatch):
    for module in ("data.images", "data.formats"):
        monkeypatch.setattr(f"{module}.is_available", lambda: False)
    with pytest.raises(UnreadableImage, match="uv run --extra dicom") as caught:
        grey(dicom(RAMP))
    assert caught.value.reason == extra.NEEDS_EXTRA
