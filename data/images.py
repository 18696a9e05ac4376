"""From the bytes of an image file to pixels of one size and colour mode."""

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

#: Raised when the same file gives other pixels, or is taken where it was rejected: what earlier
#: rules decoded is then decoded again. 2: checksums and warnings count, the largest page of a TIFF
#: is taken, 16-bit TIFF follows its PhotometricInterpretation and its BitsPerSample.
DECODING_RULES = 2

#: Larger images are refused before they are decoded: at three bytes a pixel this is 192 MB in
#: each executor, ten times what a camera on a microscope delivers. A few kilobytes of PNG can
#: claim far more.
MAX_IMAGE_PIXELS = 64_000_000

#: Averages over whole blocks of pixels first and leaves at least three times the asked size for
#: the triangle filter, which Pillow documents as indistinguishable from filtering everything.
#: The filter is BILINEAR: it covers all pixels of the source (as BOX does), but at a factor that
#: is no whole number BOX gives neighbouring pixels unequal areas, which shows as jagged outlines.
REDUCING_GAP = 3.0

#: What is tried on a file, whatever its name says. Pillow knows some forty more formats, among them
#: PostScript, which it hands to another program.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

#: A progressive JPEG has about ten scans. Each goes over all pixels, and a file of some kilobytes
#: can hold thousands.
MAX_JPEG_SCANS = 200
_START_OF_SCAN = b"\xff\xda"  # stands nowhere inside a scan: there, ff is followed by 00

#: Rows of a transparent image that are composed at once: that takes other pixels beside its own.
_BAND = 256

#: Numbers in parentheses that make two files' reasons two: "(51 bytes not processed)".
_COUNTED_BYTES = re.compile(r" \(\d+ bytes not processed\)")

#: Treatment of an image that is damaged and that a decoder can still repair.
OnDamage = Literal["reject", "accept"]

#: Beginning of the reason of a damaged file.
DAMAGED = "damaged image: "

#: Remarks on an image that is taken.
REPAIRED = "repaired"
UNCHECKED = "unchecked"
SEVERAL = "several"
NARROW = "narrow"


class UnreadableImage(Exception):  # noqa: N818 - named after what it says of the file
    """Bytes that are no usable image; ``reason`` is one line without the file's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file and what a reader of them should know."""

    #: uint8, shape (height, width, channels).
    pixels: np.ndarray
    #: Some of ``REPAIRED``, ``UNCHECKED``, ``SEVERAL`` and ``NARROW``.
    remarks: tuple[str, ...]
    #: Bits that the largest value of a 16-bit image needs, None for an image of 8 bits.
    bits: int | None


def decode(content: bytes, height: int, width: int, color: str) -> np.ndarray:
    """Return the pixels that `decode_file` finds in a whole image file.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3) for ``rgb`` and (height, width, 1) for ``grey``.

    Raises
    ------
    UnreadableImage
        When the bytes are empty, no image, cut short, damaged or too large.
    """
    return decode_file(content, height, width, color).pixels


def decode_file(
    content: bytes, height: int, width: int, color: str, damaged: OnDamage = "reject"
) -> Decoded:
    """Decode the bytes of an image file, bring it to one size and one colour mode.

    The image is turned as its EXIF orientation says and stretched to ``height`` x ``width``
    whatever its own proportions are: nothing is cut off and nothing is added. Transparent pixels
    become black, the ground on which segmented cells lie; 16-bit grey is scaled to 8 bits as
    `data.depth.from_16_bits` says. Of several frames the first is taken, and of the pages of a TIFF
    the largest. DICOM is decoded as `data.dicom_pixels.read_pixels` says, where the extra
    ``dicom`` is installed; a file of several frames is refused.

    Checksums and the decoder's warnings are looked at as far as a format has them: PNG has a
    checksum for each chunk, deflated TIFF one for each strip; libjpeg warns of data that do not
    add up. BMP, GIF, WebP and other TIFF hold nothing by which changed pixels could be noticed.

    Parameters
    ----------
    content
        The whole file, in one of `FORMATS` or DICOM.
    height, width
        Size in pixels of the result.
    color
        ``rgb`` or ``grey`` (luma of ITU-R BT.601).
    damaged
        ``accept`` takes what the decoder makes of a damaged file, with the remark ``REPAIRED``.

    Raises
    ------
    UnreadableImage
        When the bytes are empty, no image, cut short, damaged or too large.
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
    """Decode a whole image file without scaling it, otherwise as `decode_file` does.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width) for grey and (height, width, 3) for colour.

    Raises
    ------
    UnreadableImage
        As `decode_file` does.
    """
    with _reasons(content):
        return np.asarray(_File(content, None, "reject").image(MAX_IMAGE_PIXELS))


@contextmanager
def _reasons(content: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into an `UnreadableImage`."""
    if not content:
        raise UnreadableImage("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings name no file; errors are raised
            yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(refusal(content)) from None
    except (NoFixedRange, NotUsable) as error:
        raise UnreadableImage(str(error)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise almost anything on damaged bytes
        raise UnreadableImage(DAMAGED + _first_line(error)) from error


class _File:
    """One image file on its way to pixels, with what is noticed on the way.

    Without ``mode``, ``RGB`` or ``L``, an image is grey where its file is.
    """

    def __init__(self, content: bytes, mode: str | None, damaged: OnDamage) -> None:
        self._content = content
        self._mode = mode
        self._damaged = damaged
        self.remarks: list[str] = []
        self.bits: int | None = None

    def image(self, side: int) -> Image.Image:
        """Return the image in its colour mode; a large JPEG no smaller than ``side``."""
        if is_dicom(self._content) and is_available():
            return self._from_dicom()
        image = self._opened()
        if (found := damage(image, self._content)) is not None:
            self._notice_damage(found)
        image = self._loaded(image, side)
        ImageOps.exif_transpose(image, in_place=True)  # else it copies every image
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
        # A large JPEG is scaled while it is decoded, as far as that leaves twice the asked size.
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
