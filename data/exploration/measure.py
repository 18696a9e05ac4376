"""Measures of one image: header of the file, fingerprints, brightness and color.

Every Python worker imports this module, so it depends only on numpy, Pillow, pyarrow and xxhash.
"""

import contextlib
import hashlib
import io
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image, ImageFilter

from data.images import UnreadableImage, decode

#: Side in pixels to which images are resized before they are measured, so that files of different
#: sizes can be compared. The brightness of a C-NMC cell is within 4 gray levels of that at full
#: size.
SIDE = 64
#: Side in pixels of the gray thumbnail by which images are compared.
SIGNATURE_SIDE = 16
#: A pixel whose brightest channel is below this (of 255) is background: segmented cells have a
#: black background, and its share would otherwise dominate their brightness. After JPEG
#: compression, black pixels remain below 10.
BLACK = 16
#: Weights of red, green and blue in luma, ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_ORIENTATION = 0x0112
_FIRST_TURNED = 5  # EXIF orientations from 5 to 8 swap width and height

#: Measures of one image. If it cannot be used, ``reason`` is set, and fingerprints and figures are
#: null; header fields are null if the header is unreadable. Brightness and colors are means over
#: the pixels that are not background; ``ground`` is the share of the background.
MEASURE_SCHEMA = pa.schema(
    [
        pa.field("bytes", pa.int64()),
        pa.field("format", pa.string()),
        pa.field("mode", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("turned", pa.bool_()),
        pa.field("transparent", pa.bool_()),
        pa.field("frames", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("source_xxh128", pa.binary(16)),
        pa.field("pixels_sha256", pa.binary(32)),
        pa.field("brightness", pa.float32()),
        pa.field("red", pa.float32()),
        pa.field("green", pa.float32()),
        pa.field("blue", pa.float32()),
        pa.field("ground", pa.float32()),
        pa.field("spread", pa.float32()),
        pa.field("signature", pa.binary(SIGNATURE_SIDE**2)),
    ]
)


def fingerprint_file(content: bytes) -> dict[str, Any]:
    """Return the fields of ``MEASURE_SCHEMA`` by which copies of an image are found.

    These are ``source_xxh128``, ``pixels_sha256``, ``spread`` and ``signature``, with the same
    values as from `measure_file`, or ``reason``. Header and colors are omitted to save time.
    """
    found: dict[str, Any] = {"source_xxh128": xxhash.xxh3_128_digest(content)}
    try:
        pixels = decode(content, SIDE, SIDE, "rgb")
    except UnreadableImage as error:
        return {**found, "reason": error.reason}
    found["pixels_sha256"] = hashlib.sha256(pixels.tobytes()).digest()
    return {**found, **_likeness(pixels.astype(np.float32) @ _LUMA)}


def measure_file(content: bytes) -> dict[str, Any]:
    """Measure the bytes of an image file and return fields of ``MEASURE_SCHEMA``.

    The decoder is the one used by ``prepare``, so it rejects the same files for the same reasons.
    """
    measured: dict[str, Any] = {
        "bytes": len(content),
        "source_xxh128": xxhash.xxh3_128_digest(content),
        **_header(content),
    }
    try:
        pixels = decode(content, SIDE, SIDE, "rgb")
    except UnreadableImage as error:
        return {**measured, "reason": error.reason}
    measured["pixels_sha256"] = hashlib.sha256(pixels.tobytes()).digest()
    return {**measured, **measure_pixels(pixels)}


def measure_pixels(pixels: np.ndarray) -> dict[str, Any]:
    """Return figures and signature of decoded pixels (uint8, height x width x 1 or 3)."""
    small = _resized(pixels, SIDE)
    luma = small.astype(np.float32) @ _LUMA
    lit = small.max(axis=2) >= BLACK
    inner = _without_border(lit)
    figures: dict[str, Any] = {
        "ground": 1 - float(lit.mean()),
        **_likeness(luma),
    }
    if inner.any():
        figures["brightness"] = float(luma[inner].mean())
        means = small[inner].mean(axis=0)
        figures |= dict(zip(("red", "green", "blue"), map(float, means), strict=True))
    return figures


def _likeness(luma: np.ndarray) -> dict[str, Any]:
    """Return ``spread`` and ``signature`` of an image's luma (float32, SIDE x SIDE)."""
    thumbnail = _resized(luma.round().astype(np.uint8)[..., None], SIGNATURE_SIDE)
    return {"spread": float(luma.std()), "signature": thumbnail[..., 0].tobytes()}


def _without_border(lit: np.ndarray) -> np.ndarray:
    """Return ``lit`` without pixels next to the background, with which resizing has mixed them.

    A mask that is too thin to have an interior is returned unchanged.
    """
    mask = Image.fromarray(lit.astype(np.uint8)).filter(ImageFilter.MinFilter(3))
    inner = np.asarray(mask).astype(bool)
    return inner if inner.any() else lit


def _resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return ``pixels`` as RGB, uint8, shape (side, side, 3)."""
    if pixels.shape == (side, side, 3):
        return pixels
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX))


def _header(content: bytes) -> dict[str, Any]:
    """Return the header fields of an image file; empty if it is not an image."""
    found: dict[str, Any] = {}
    # Errors of a damaged header are ignored here because the decoder reports them.
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            found |= {"format": image.format, "mode": image.mode}
            found |= dict(zip(("width", "height"), image.size, strict=True))
            found["transparent"] = image.has_transparency_data
            found["turned"] = image.getexif().get(_ORIENTATION, 1) != 1
            found["frames"] = getattr(image, "n_frames", 1)
            if image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED:
                found["width"], found["height"] = found["height"], found["width"]
    return found
