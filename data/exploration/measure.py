"""What is measured of one image: its file's header, its fingerprints, its brightness and colour.

Imported by every Python worker, so it keeps to numpy, Pillow, pyarrow and xxhash.
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

#: Side in pixels of the picture that everything is measured on, so that files of other sizes can be
#: compared. The brightness of a cell of C-NMC is within 4 grey levels of that at full size.
SIDE = 64
#: Side in pixels of the grey thumbnail by which pictures are compared.
SIGNATURE_SIDE = 16
#: A pixel whose brightest channel is below this (of 255) is ground: segmented cells lie on black,
#: and its share would otherwise decide how bright a cell seems. JPEG leaves black below 10.
BLACK = 16
#: Weights of red, green and blue in luma, ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_ORIENTATION = 0x0112
_FIRST_TURNED = 5  # orientations of EXIF from here on exchange width and height

#: Of one image. ``reason`` says why it cannot be used; then fingerprints and figures are null, and
#: so are those of the header where there is none. Figures are of the pixels that are no ground.
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
    """Return by what copies of an image are found: a few fields of ``MEASURE_SCHEMA``.

    These are ``source_xxh128``, ``pixels_sha256``, ``spread`` and ``signature``, with the values
    that `measure_file` gives, or ``reason``; header and colours are left out, which take time.
    """
    found: dict[str, Any] = {"source_xxh128": xxhash.xxh3_128_digest(content)}
    try:
        pixels = decode(content, SIDE, SIDE, "rgb")
    except UnreadableImage as error:
        return {**found, "reason": error.reason}
    found["pixels_sha256"] = hashlib.sha256(pixels.tobytes()).digest()
    return {**found, **_likeness(pixels.astype(np.float32) @ _LUMA)}


def measure_file(content: bytes) -> dict[str, Any]:
    """Measure the bytes of an image file; fields are those of ``MEASURE_SCHEMA``.

    The decoder is that of an ingest: what it refuses here, it refuses there, for the same reason.
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
    """Measure decoded pixels (height x width x 1 or 3, uint8): figures and signature."""
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
    """Return ``spread`` and ``signature`` of a picture's luma (float32, SIDE x SIDE)."""
    thumbnail = _resized(luma.round().astype(np.uint8)[..., None], SIGNATURE_SIDE)
    return {"spread": float(luma.std()), "signature": thumbnail[..., 0].tobytes()}


def _without_border(lit: np.ndarray) -> np.ndarray:
    """Return ``lit`` without pixels beside ground: resizing has mixed them with it.

    What is too thin to have an inside stays as it is.
    """
    mask = Image.fromarray(lit.astype(np.uint8)).filter(ImageFilter.MinFilter(3))
    inner = np.asarray(mask).astype(bool)
    return inner if inner.any() else lit


def _resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return uint8, shape (side, side, 3)."""
    if pixels.shape == (side, side, 3):
        return pixels
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX))


def _header(content: bytes) -> dict[str, Any]:
    """Return what the file says of itself; nothing of what is no image."""
    found: dict[str, Any] = {}
    # What a damaged header raises is answered by the decoder, in words.
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
