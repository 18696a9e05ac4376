"""Strict decoding of JPEG files, which reports damage that libjpeg would repair silently."""

import numpy as np
import simplejpeg
from PIL import Image

from data.wholeness import is_refusal

_COLOR_SPACES = {"L": "GRAY", "RGB": "RGB"}


class Damaged(Exception):  # noqa: N818 - named after a property of the file
    """Exception for a file with a libjpeg warning: inconsistent data were padded or skipped."""


class Unchecked(Exception):  # noqa: N818 - not an error: another decoder reads the file
    """Exception for a kind of JPEG that the strict decoder does not support."""


def decode_strictly(image: Image.Image, content: bytes) -> Image.Image:
    """Decode a JPEG that Pillow has opened but not loaded.

    Pillow does not report warnings of libjpeg (its issue 9106), so the file is decoded by
    libjpeg-turbo through simplejpeg, which gives the same pixels. Size and color mode are those
    selected by ``image.draft``.

    Raises
    ------
    Damaged
        If libjpeg warns; the message is libjpeg's.
    Unchecked
        For rare chroma subsampling, and for undamaged CMYK images, which Pillow must decode.
    """
    width, height = image.size
    try:
        if image.mode not in _COLOR_SPACES:
            simplejpeg.decode_jpeg(content, "CMYK", min_height=1, min_width=1, strict=True)
            raise Unchecked
        pixels = np.empty((height, width, len(image.mode)), np.uint8)
        found_height, found_width, *_ = simplejpeg.decode_jpeg_header(
            content, min_height=height, min_width=width
        )
        if (found_height, found_width) != (height, width):
            raise Damaged("its headers contradict each other")
        color_space = _COLOR_SPACES[image.mode]
        simplejpeg.decode_jpeg(
            content, color_space, min_height=height, min_width=width, buffer=pixels, strict=True
        )
    except ValueError as error:
        raise (Unchecked() if is_refusal(error) else Damaged(str(error))) from None
    decoded = Image.fromarray(pixels.squeeze(axis=2) if image.mode == "L" else pixels)
    decoded.info = image.info  # contains the EXIF orientation
    return decoded
