"""JPEG files decoded once and strictly: what libjpeg repairs in silence is reported."""

import numpy as np
import simplejpeg
from PIL import Image

from data.wholeness import is_refusal

_COLOR_SPACES = {"L": "GRAY", "RGB": "RGB"}


class Damaged(Exception):  # noqa: N818 - named after what it says of the file
    """libjpeg has warned, and has filled up or passed over what does not add up."""


class Unchecked(Exception):  # noqa: N818 - no error: another decoder takes the file
    """The decoder does not know this kind of JPEG."""


def decode_strictly(image: Image.Image, content: bytes) -> Image.Image:
    """Return the decoded image of a JPEG that Pillow has opened and not loaded.

    Pillow does not pass on that libjpeg has warned (its issue 9106), so libjpeg-turbo is asked
    through simplejpeg, which gives the same pixels: its size and colour mode are those that
    ``image.draft`` has chosen.

    Raises
    ------
    Damaged
        With libjpeg's words.
    Unchecked
        For a rare chroma sampling, and for CMYK that holds no damage: Pillow decodes these.
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
    decoded.info = image.info  # holds the orientation
    return decoded
