"""Conversion of what users have (bytes, base64, paths, PIL images, arrays) to prepared pixels."""

import base64
import binascii
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from data.config import ImageConfig
from data.errors import DataError
from data.images import MAX_IMAGE_PIXELS, UnreadableImage, decode
from data.names import visible
from data.object_store import is_object
from data.storage import locate, read_bytes
from serving.errors import InputError

#: Longest text that an error message quotes.
_QUOTED = 60
#: Texts up to this length may be paths; Linux allows no longer ones.
_LONGEST_PATH = 4096


def is_one(value: Any) -> bool:
    """Return whether ``value`` is a single input, and not a sequence of inputs."""
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3) and value.dtype != object
    return isinstance(value, bytes | bytearray | memoryview | str | Path | Image.Image)


def separate(value: Any) -> list[Any]:
    """Return the inputs in ``value``: one, a sequence, an array of images or a DataFrame column.

    Raises
    ------
    InputError
        If ``value`` is of another kind.
    """
    if is_one(value):
        return [value]
    if hasattr(value, "columns") and hasattr(value, "iloc"):  # a pandas DataFrame
        return list(_column(value))
    if isinstance(value, np.ndarray) and value.ndim == 4:
        return list(value)
    if isinstance(value, Sequence | np.ndarray) or hasattr(value, "__iter__"):
        return list(value)
    raise InputError(
        f"{_shown(value)} is not an image: give bytes, a path, a PIL image or an array"
    )


def _column(frame: Any) -> Any:
    if len(frame.columns) == 1:
        return frame.iloc[:, 0]
    for name in ("content", "image", "path"):
        if name in frame.columns:
            return frame[name]
    names = ", ".join(map(str, frame.columns[:5]))
    raise InputError(f"no column of {names} has images: name it content, image or path")


def to_pixels(value: Any, image: ImageConfig) -> np.ndarray:
    """Return one input as prepared pixels, decoded by the same code as the training images.

    Parameters
    ----------
    value
        Content of an image file, base64 text, path or ``s3://`` address of a file, PIL image, or
        array of shape (height, width) or (height, width, 1, 3 or 4): integers from 0 to 255,
        uint16 from 0 to 65535, or floating-point numbers from 0 to 1.
    image
        Size and color mode of the result.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, channels).

    Raises
    ------
    InputError
        If ``value`` is not a usable image; one line.
    """
    if isinstance(value, np.ndarray | list | tuple):
        array = _checked(_array(value))
        if array.shape == image.shape and array.dtype == np.uint8:
            return array
        value = _from_array(array)
    content = _png(value) if isinstance(value, Image.Image) else _content(value)
    try:
        return decode(content, image.height, image.width, image.color)
    except UnreadableImage as error:
        raise InputError(error.reason) from error


def _content(value: Any) -> bytes:
    """Return the bytes of an image file."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Path):
        return _read(str(value))
    if isinstance(value, str):
        # Unlike Path.exists, this returns False for a base64 text that is too long for a name.
        if is_object(value) or (len(value) <= _LONGEST_PATH and os.path.exists(value)):  # noqa: PTH110
            return _read(value)
        return _from_base64(value)
    raise InputError(
        f"{_shown(value)} is not an image: give bytes, a path, a PIL image or an array"
    )


def _read(path: str) -> bytes:
    try:
        if not is_object(path) and Path(path).exists() and not Path(path).is_file():
            raise InputError(
                f"{visible(path)} is not a file"
            )  # reading a pipe or a device may never end
        return read_bytes(*locate(path))
    except (OSError, ValueError, DataError) as error:
        raise InputError(
            f"{visible(path)} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def _from_base64(text: str) -> bytes:
    """Return the content of base64 text, with or without the prefix of a data URL."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{_shown(text)}: there is no such file, and it is not base64") from error


def _png(image: Image.Image) -> bytes:
    """Return a PIL image as the content of a file, so that it is decoded like one."""
    _refuse_large(image.height, image.width)
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise InputError("floating-point pixels have no fixed range: use an array from 0 to 1")
    if image.mode in ("I", "I;16B", "I;16L", "I;16N"):
        return _png(_from_array(_checked(_without_sign(np.asarray(image)))))
    if image.mode in ("PA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _without_sign(array: np.ndarray) -> np.ndarray:
    """Return integers as uint16 if they need 9 to 16 bits; up to 255, they count as 8 bits."""
    return array.astype(np.uint16) if array.min() >= 0 and 255 < array.max() < 2**16 else array


def _refuse_large(height: int, width: int) -> None:
    if height * width > MAX_IMAGE_PIXELS:
        raise InputError(
            f"{width} x {height} is more than {MAX_IMAGE_PIXELS:,} pixels: cut the image into parts"
        )


def _array(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise InputError("the rows of the array have different lengths") from error
    # A byte order other than the machine's, as FITS and some TIFF readers give.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _checked(array: np.ndarray) -> np.ndarray:
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(
            f"an array of shape {shape} is not an image: it must be height x width, or height x "
            "width x 1, 3 or 4"
        )
    if 0 in array.shape:
        raise InputError(f"an array of shape {shape} is empty")
    _refuse_large(array.shape[0], array.shape[1])
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise InputError(f"an array of {array.dtype} is not an image: use uint8")
    if not np.isfinite(array).all():
        raise InputError("the array has values that are not finite")
    low, high = float(array.min()), float(array.max())
    limit = 1.0 if np.issubdtype(array.dtype, np.floating) else 255.0
    if low < 0 or high > limit:
        raise InputError(
            f"the array has values from {low:g} to {high:g}: integers must be from 0 to 255, "
            "floating-point numbers from 0 to 1"
        )
    return np.round(array * (255.0 / limit)).astype(np.uint8)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint16 and array.ndim == 3:
        array = (array >> 8).astype(np.uint8)
    return Image.fromarray(array)


def _shown(value: Any) -> str:
    text = visible(value) if isinstance(value, str) else type(value).__name__
    return f"'{text[:_QUOTED]}…'" if len(text) > _QUOTED else f"'{text}'"
