"""Decoding of the images of a request, within the limits of the service."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.config import ImageConfig
from data.dicom import is_available
from data.formats import is_dicom, refusal
from data.images import DAMAGED, FORMATS, UnreadableImage, decode
from serving.errors import InputError
from serving.inputs import to_pixels
from serving.service.errors import RejectedImageError

#: Marker in front of every scan of a JPEG; each scan processes all pixels.
_START_OF_SCAN = b"\xff\xda"
#: Pixels, counted once for each scan, up to which an image is decoded in a few tens of
#: milliseconds.
_QUICK_PIXELS = 4_000_000
#: Pixels, counted once for each scan, that are decoded in about ten seconds.
_MAX_PASSES = 1_000_000_000
#: Size in bytes of a TIFF from which its decoding may take long: compressed strips can expand to a
#: thousand times their size, whatever the number of pixels that the file declares.
_LARGE_TIFF = 2**18
#: EXIF tag, and its values that swap width and height.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """Properties of an image file that are known before it is decoded."""

    #: Size at which the image in the file is displayed, in pixels; None for DICOM.
    width: int | None
    height: int | None
    #: False if decoding may take long.
    is_quick: bool


def read_header(content: bytes, max_pixels: int) -> Header:
    """Return the header of an image file.

    Raises
    ------
    RejectedImageError
        If the file is not an image, or one that takes too long to decode.
    """
    if not content:
        raise RejectedImageError("unusable", "the file is empty")
    if is_dicom(content) and is_available():
        return Header(None, None, is_quick=False)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise RejectedImageError("not_an_image", refusal(content)) from None
    except Image.DecompressionBombError:
        raise _too_large(None, max_pixels) from None
    except Exception:  # decoders raise arbitrary exceptions on damaged files
        # The decoder states the reason.
        return Header(None, None, is_quick=True)
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large((width, height), max_pixels)
    scans = content.count(_START_OF_SCAN) if _is_jpeg(image) else 1
    passes = width * height * max(1, scans)
    if passes > _MAX_PASSES:
        raise RejectedImageError(
            "too_large",
            f"{width} x {height} pixels in so many scans take too long: save the image again",
        )
    is_large_tiff = image.format == "TIFF" and len(content) > _LARGE_TIFF
    if _is_jpeg(image) and image.getexif().get(_ORIENTATION) in _TURNED:
        width, height = height, width
    return Header(width, height, passes <= _QUICK_PIXELS and not is_large_tiff)


def decode_content(content: bytes, image: ImageConfig) -> np.ndarray:
    """Return an image file as prepared pixels, uint8 of shape (height, width, channels).

    Raises
    ------
    RejectedImageError
        If the file is damaged or not usable.
    """
    try:
        return decode(content, image.height, image.width, image.color)
    except UnreadableImage as error:
        kind = "damaged" if error.reason.startswith(DAMAGED) else "unusable"
        raise RejectedImageError(kind, error.reason) from error  # type: ignore[arg-type]


def decode_array(values: np.ndarray, image: ImageConfig) -> np.ndarray:
    """Return an array as prepared pixels, uint8 of shape (height, width, channels).

    Raises
    ------
    RejectedImageError
        If the array is not an image.
    """
    try:
        return to_pixels(values, image)
    except InputError as error:
        raise RejectedImageError("unusable", str(error)) from error


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _too_large(size: tuple[int, int] | None, max_pixels: int) -> RejectedImageError:
    found = f"{size[0]} x {size[1]} is" if size else "the image has"
    return RejectedImageError(
        "too_large", f"{found} more than {max_pixels:,} pixels: reduce it or cut it into parts"
    )
