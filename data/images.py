"""Decoding of image files to pixels of a given size and color mode."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data import libtiff
from data.depth import NoFixedRange, bits_of_colour, from_16_bits, is_deep
from data.dicom import is_available
from data.dicom_pixels import NotUsable, read_pixels
from data.formats import is_dicom, refusal
from data.jpeg import Damaged, Unchecked, decode_strictly
from data.pages import BrokenPages, choose_page, has_several
from data.wholeness import damage

#: Incremented whenever a file yields different pixels, or is accepted where it was rejected: images
#: decoded under earlier rules are then decoded again. 2: checksums and decoder warnings count, the
#: largest page of a TIFF is used, 16-bit TIFF follows its PhotometricInterpretation and its
#: BitsPerSample.
DECODING_RULES = 2

#: Larger images are refused before they are decoded: at three bytes per pixel, the limit amounts to
#: 192 MB in each executor, ten times what a microscope camera delivers. A PNG file of a few
#: kilobytes can declare far more.
MAX_IMAGE_PIXELS = 64_000_000

#: Images are first averaged over whole blocks of pixels, to at least three times the requested
#: size, and then resized with the triangle filter, which Pillow documents as indistinguishable from
#: filtering at full size. The filter is BILINEAR, which covers all pixels of the source, as BOX
#: does; but for non-integer factors BOX gives neighboring pixels unequal areas, visible as jagged
#: outlines.
REDUCING_GAP = 3.0

#: Formats that are tried, regardless of the file name. Pillow supports about forty more, including
#: PostScript, which it passes to an external program.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

#: A progressive JPEG has about ten scans. Each one processes all pixels, and a file of a few
#: kilobytes can contain thousands.
MAX_JPEG_SCANS = 200
_START_OF_SCAN = b"\xff\xda"  # does not occur inside a scan, where ff is followed by 00

#: Rows of a transparent image that are composed at once, which bounds the additional memory.
_BAND = 256

#: Part of a message that differs between files and is removed, so that equal reasons are counted
#: together: "(51 bytes not processed)".
_COUNTED_BYTES = re.compile(r" \(\d+ bytes not processed\)")

#: Treatment of a damaged image that a decoder can repair.
OnDamage = Literal["reject", "accept"]

#: Prefix of the reason for rejecting a damaged file.
DAMAGED = "damaged image: "

#: Remarks on an accepted image.
REPAIRED = "repaired"
UNCHECKED = "unchecked"
SEVERAL = "several"
NARROW = "narrow"


class UnreadableImage(Exception):  # noqa: N818 - named after a property of the file
    """Exception for files that are not usable images; ``reason`` is one line without the path."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """Pixels of an image file, with remarks on how they were obtained."""

    #: uint8, shape (height, width, channels).
    pixels: np.ndarray
    #: Subset of ``REPAIRED``, ``UNCHECKED``, ``SEVERAL`` and ``NARROW``.
    remarks: tuple[str, ...]
    #: Number of bits that the largest value of a 16-bit image needs; None for an 8-bit image.
    bits: int | None


def decode(content: bytes, height: int, width: int, color: str) -> np.ndarray:
    """Return the pixels of an image file, decoded by `decode_file`.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3) for ``rgb`` and (height, width, 1) for ``grey``.

    Raises
    ------
    UnreadableImage
        If ``content`` is empty, not an image, truncated, damaged or too large.
    """
    return decode_file(content, height, width, color).pixels


def decode_file(
    content: bytes, height: int, width: int, color: str, damaged: OnDamage = "reject"
) -> Decoded:
    """Decode an image file and convert it to the given size and color mode.

    The image is rotated according to its EXIF orientation and resized to ``height`` x ``width``
    regardless of its aspect ratio, without cropping or padding. Transparent pixels become black,
    the background of segmented cells; 16-bit grayscale is converted to 8 bits by
    `data.depth.from_16_bits`. The first of several frames is used, and the largest page of a TIFF.
    DICOM is decoded by `data.dicom_pixels.read_pixels` if the extra ``dicom`` is installed; files
    with several frames are refused.

    Checksums and decoder warnings are checked where the format has them: PNG has a checksum for
    each chunk and deflated TIFF one for each strip; libjpeg warns of inconsistent data. BMP, GIF,
    WebP and other TIFF files contain nothing that would reveal altered pixels.

    Parameters
    ----------
    content
        Content of the whole file, in one of `FORMATS` or DICOM.
    height, width
        Size of the result in pixels.
    color
        ``rgb`` or ``grey`` (luma of ITU-R BT.601).
    damaged
        ``accept`` uses what the decoder makes of a damaged file, with the remark ``REPAIRED``.

    Raises
    ------
    UnreadableImage
        If ``content`` is empty, not an image, truncated, damaged or too large.
    """
    file = _File(content, "RGB" if color == "rgb" else "L", damaged)
    with _reasons(content):
        image = file.image(2 * max(height, width))
        if image.size != (width, height):
            image = image.resize(
                (width, height), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP
            )
    pixels = np.asarray(image, np.uint8).reshape(height, width, -1)
    return Decoded(pixels, tuple(file.remarks), file.bits)


def decode_at_own_size(content: bytes) -> np.ndarray:
    """Decode an image file like `decode_file`, but without resizing it.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width) for grayscale and (height, width, 3) for color.

    Raises
    ------
    UnreadableImage
        As raised by `decode_file`.
    """
    with _reasons(content):
        return np.asarray(_File(content, None, "reject").image(MAX_IMAGE_PIXELS))


@contextmanager
def _reasons(content: bytes) -> Iterator[None]:
    """Convert any exception of a decoder to an `UnreadableImage`."""
    if not content:
        raise UnreadableImage("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings do not name the file
            yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(refusal(content)) from None
    except (NoFixedRange, NotUsable) as error:
        raise UnreadableImage(str(error)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise arbitrary exceptions on damaged files
        raise UnreadableImage(DAMAGED + _first_line(error)) from error


class _File:
    """Decoder for one image file, which collects remarks while decoding.

    Parameters
    ----------
    content
        Content of the whole file.
    mode
        ``RGB`` or ``L``; None keeps grayscale images in mode ``L``.
    damaged
        Treatment of damaged images.
    """

    def __init__(self, content: bytes, mode: str | None, damaged: OnDamage) -> None:
        self._content = content
        self._mode = mode
        self._damaged = damaged
        self.remarks: list[str] = []
        self.bits: int | None = None

    def image(self, side: int) -> Image.Image:
        """Return the image in its color mode; a JPEG may be reduced, but not below ``side``."""
        if is_dicom(self._content) and is_available():
            return self._from_dicom()
        image = self._opened()
        if (found := damage(image, self._content)) is not None:
            self._notice_damage(found)
        image = self._loaded(image, side)
        ImageOps.exif_transpose(image, in_place=True)  # avoids a copy of every image
        return self._in_mode(image)

    def _opened(self) -> Image.Image:
        image = Image.open(io.BytesIO(self._content), formats=FORMATS)
        if image.format == "TIFF":
            libtiff.silence()
        if _is_jpeg(image) and self._content.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
            raise UnreadableImage(f"more than {MAX_JPEG_SCANS} scans: save the image again")
        if has_several(image):
            self.remarks.append(SEVERAL)
            if image.format == "TIFF":
                self._choose_page(image)
        columns, rows = image.size
        if columns * rows > MAX_IMAGE_PIXELS:
            raise UnreadableImage(
                f"{columns} x {rows} is more than {MAX_IMAGE_PIXELS:,} pixels: "
                "cut the image into parts"
            )
        return image

    def _from_dicom(self) -> Image.Image:
        found = read_pixels(self._content, MAX_IMAGE_PIXELS)
        self.bits = found.bits
        if found.is_narrow:
            self.remarks.append(NARROW)
        image = Image.fromarray(found.values)
        return image if self._mode in (None, image.mode) else image.convert(self._mode)

    def _choose_page(self, image: Image.Image) -> None:
        try:
            choose_page(image, self._content)
        except BrokenPages as error:
            self._notice_damage(str(error))

    def _loaded(self, image: Image.Image, side: int) -> Image.Image:
        # A large JPEG is reduced while decoding, but not below twice the requested size.
        image.draft(self._mode, (side, side))
        if _is_jpeg(image):
            try:
                return decode_strictly(image, self._content)
            except Damaged as error:
                self._notice_damage(str(error))
            except Unchecked:
                if image.mode in ("L", "RGB"):
                    self.remarks.append(UNCHECKED)
        image.load()
        return image

    def _notice_damage(self, what: str) -> None:
        if self._damaged == "reject":
            raise UnreadableImage(DAMAGED + what)
        if REPAIRED not in self.remarks:
            self.remarks.append(REPAIRED)

    def _in_mode(self, image: Image.Image) -> Image.Image:
        if image.mode == "F":
            raise UnreadableImage("floating-point pixels have no fixed range: save as 8 or 16 bits")
        if is_deep(image):
            image, self.bits = from_16_bits(image)
        else:
            self.bits = bits_of_colour(image, self._content)
            if image.has_transparency_data:
                image = _on_black(image)
        mode = self._mode or ("L" if image.mode in ("1", "L") else "RGB")
        return image if image.mode == mode else image.convert(mode)


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _on_black(image: Image.Image) -> Image.Image:
    composed = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        bottom = min(top + _BAND, image.height)
        band = image.crop((0, top, image.width, bottom)).convert("RGBA")
        ground = Image.new("RGBA", band.size, (0, 0, 0, 255))
        composed.paste(Image.alpha_composite(ground, band).convert("RGB"), (0, top))
    return composed


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return _COUNTED_BYTES.sub("", line)
