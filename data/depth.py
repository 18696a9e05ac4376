"""Conversion of images with more than 8 bits per sample to 8 bits."""

import numpy as np
from PIL import Image

#: Rows that are scaled at once, which bounds the memory for intermediate floating-point values.
_BAND = 256
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
_WHITE_IS_ZERO = 0
_FULL = 65_535
#: Largest values of 9 to 15 bits, the ranges that cameras deliver in 16-bit files.
_RANGES = frozenset(2**bits - 1 for bits in range(9, 16))
#: Offset of the bit depth in the header of a PNG file.
_PNG_BIT_DEPTH = 24


class NoFixedRange(Exception):  # noqa: N818 - named after a property of the file
    """Exception for pixel values without a defined maximum (white)."""


def is_deep(image: Image.Image) -> bool:
    """Return whether Pillow represents the image with more than 8 bits per sample."""
    return image.mode.startswith("I")


def from_16_bits(image: Image.Image) -> tuple[Image.Image, int | None]:
    """Convert a 16-bit grayscale image to 8 bits.

    The full range of the type, 0 to 65,535, is mapped to 0 to 255, so that images stay comparable,
    unless a TIFF declares another range: by BitsPerSample (12), or by a MaxSampleValue of exactly
    2**n - 1 for 9 to 15 bits, such as 1,023 or 4,095. TIFF 6.0 defines MaxSampleValue as a
    statistic of the image, so other values are ignored. If PhotometricInterpretation is
    WhiteIsZero, 0 becomes white, as it does with 8 bits.

    Returns
    -------
    image : PIL.Image.Image
        Image of mode ``L``.
    bits : int or None
        Number of bits that the largest value needs; None if the file declares its range.

    Raises
    ------
    NoFixedRange
        If a value is negative or above 65,535.
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
    """Return the number of bits that the largest value of a 16-bit color image needs.

    Pillow keeps only the upper 8 bits of such an image, so the result is at least 8.

    Returns
    -------
    int or None
        None for an image whose file has 8 bits per sample.
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
    """Return the first value of a TIFF tag, or None if the tag is missing."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) else value
