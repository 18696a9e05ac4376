"""Images of more than 8 bits for each value: which range they have, and how it becomes 8 bits."""

import numpy as np
from PIL import Image

#: Rows that are scaled at once: that takes other numbers beside the image's own.
_BAND = 256
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
_WHITE_IS_ZERO = 0
_FULL = 65_535
#: Largest values of 9 to 15 bits: what cameras deliver in files of 16.
_RANGES = frozenset(2**bits - 1 for bits in range(9, 16))
#: Offset in the header of a PNG of the number of bits of a value.
_PNG_BIT_DEPTH = 24


class NoFixedRange(Exception):  # noqa: N818 - named after what it says of the file
    """Values of a kind for which no value is white."""


def is_deep(image: Image.Image) -> bool:
    """Tell whether Pillow holds the image in more than 8 bits."""
    return image.mode.startswith("I")


def from_16_bits(image: Image.Image) -> tuple[Image.Image, int | None]:
    """Return a grey image of 8 bits and the bits that the largest value needs.

    The range is that of the type, 0 to 65,535, so that images stay comparable, unless a TIFF says
    another one: by BitsPerSample (12), or by a MaxSampleValue of exactly 1,023, 4,095 and the like.
    TIFF 6.0 calls MaxSampleValue a statistic of the image, so other numbers decide nothing. Where
    PhotometricInterpretation is WhiteIsZero, 0 becomes white, as it does with 8 bits.

    Returns
    -------
    image
        Of mode ``L``.
    bits
        None where the file itself says its range.

    Raises
    ------
    NoFixedRange
        When a value is negative or above 65,535.
    """
    values = np.asarray(image)
    largest = int(values.max())
    if values.min() < 0:
        raise NoFixedRange("negative pixels have no fixed range: save as 8 or 16 bits unsigned")
    if largest > _FULL:
        raise NoFixedRange("32-bit pixels have no fixed range: save as 8 or 16 bits")
    white = _declared_range(image, largest)
    inverted = _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO
    pixels = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _BAND):
        band = np.round(values[top : top + _BAND] / (white / 255))
        pixels[top : top + _BAND] = 255 - band if inverted else band
    return Image.fromarray(pixels), largest.bit_length() if white == _FULL else None


def bits_of_colour(image: Image.Image, content: bytes) -> int | None:
    """Return the bits that the largest value of a 16-bit colour image needs.

    Pillow keeps the upper 8 bits of such an image, so fewer than 8 are not told apart.

    Returns
    -------
    int or None
        None for an image whose file has 8 bits.
    """
    deep = (
        content[_PNG_BIT_DEPTH] == 16
        if image.format == "PNG"
        else _tag(image, _BITS_PER_SAMPLE) == 16
    )
    if not deep or image.mode not in ("RGB", "RGBA"):
        return None
    return 8 + max(high for _, high in image.getextrema()[:3]).bit_length()


def _declared_range(image: Image.Image, largest: int) -> int:
    bits = _tag(image, _BITS_PER_SAMPLE)
    if bits is not None and 8 < bits < 16:
        return 2**bits - 1
    maximum = _tag(image, _MAX_SAMPLE_VALUE)
    return maximum if maximum is not None and maximum in _RANGES and largest <= maximum else _FULL


def _tag(image: Image.Image, number: int) -> int | None:
    """Return the first value of a TIFF's tag, None where there is none."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) else value
