"""Images in the columns of a DataFrame: contents of files, paths, or prepared pixels."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from data.config import ImageConfig
from serving.errors import InputError
from serving.inputs import to_pixels

#: First bytes of the supported formats that have a signature of at least three bytes.
_SIGNATURES = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
)  # fmt: skip
_NULL = "no image: the value is null"


def pixels_of_cell(value: Any, image: ImageConfig) -> np.ndarray:
    """Return the pixels of one value of a column.

    Parameters
    ----------
    value
        Content of an image file, or prepared pixels of the size and color mode of ``image``, which
        are recognized by their number of bytes and the absence of a signature; or text: path,
        ``s3://`` address or base64.
    image
        Size and color mode of the result.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, channels).

    Raises
    ------
    InputError
        If the value is null or not a usable image.
    """
    if _is_null(value):
        raise InputError(_NULL)
    if isinstance(value, str):
        return to_pixels(_path(value), image)
    height, width, channels = image.shape
    if (
        isinstance(value, bytes)
        and len(value) == height * width * channels
        and not _has_signature(value)
    ):
        return np.frombuffer(value, np.uint8).reshape(image.shape)
    return to_pixels(value, image)


def pixels_of_cells(row: tuple[Any, ...], image: ImageConfig) -> np.ndarray:
    """Return the pixels of one row of prepared data; images of another size are resized.

    Parameters
    ----------
    row
        Bytes of a uint8 array of shape (height, width, channels), height, width and channels.
    image
        Size and color mode of the result.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, channels) of ``image``.

    Raises
    ------
    InputError
        If a value is null or the shape is not that of an image of this length.
    """
    if any(map(_is_null, row)):
        raise InputError(_NULL)
    pixels, height, width, channels = row
    shape = (int(height), int(width), int(channels))
    if min(shape) < 0 or len(pixels) != np.prod(shape):
        raise InputError(
            f"{len(pixels)} bytes are not the pixels of {' x '.join(map(str, shape))}: give "
            "pixels, height, width and channels of prepared data"
        )
    return to_pixels(np.frombuffer(pixels, np.uint8).reshape(shape), image)


def _is_null(value: Any) -> bool:
    # pandas represents null numbers by NaN.
    return value is None or (isinstance(value, float) and math.isnan(value))


def _has_signature(content: bytes) -> bool:
    """Return whether the content of a file begins like an image of a supported format."""
    if content.startswith(b"BM"):  # followed by the size of the file
        return int.from_bytes(content[2:6], "little") == len(content)
    return content.startswith(_SIGNATURES)


def _path(text: str) -> str:
    """Return the path of an address ``file:/…`` of Spark, in which nothing is encoded."""
    if text.startswith("file:/"):
        path = f"/{text.removeprefix('file:').lstrip('/')}"
        if Path(path).exists():
            return path
    return text
