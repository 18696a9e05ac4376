"""From the bytes of an image file to pixels of one size and colour mode."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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

#: Rows that are composed or scaled at once where that takes other pixels beside the image's own.
_BAND = 256


class UnreadableImage(Exception):  # noqa: N818 - named after what it says of the file
    """Bytes that are no usable image; ``reason`` is one line without the file's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(content: bytes, height: int, width: int, color: str) -> np.ndarray:
    """Decode the bytes of an image file, bring it to one size and one colour mode.

    The image is turned as its EXIF orientation says and stretched to ``height`` x ``width``
    whatever its own proportions are: nothing is cut off and nothing is added. Transparent pixels
    become black, the ground on which segmented cells lie; 16-bit grey is scaled to 8 bits by the
    full range of its type, so that images stay comparable; of several frames the first is taken.

    Parameters
    ----------
    content
        The whole file, in one of `FORMATS`.
    height, width
        Size in pixels of the result.
    color
        ``rgb`` or ``grey`` (luma of ITU-R BT.601).

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3) for ``rgb`` and (height, width, 1) for ``grey``.

    Raises
    ------
    UnreadableImage
        When the bytes are empty, no image, cut short, damaged or too large.
    """
    if not content:
        raise UnreadableImage("empty file")
    mode = "RGB" if color == "rgb" else "L"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings name no file; errors are raised
            image = _open(content, mode, 2 * max(height, width))
            ImageOps.exif_transpose(image, in_place=True)  # else it copies every image
            image = _to_mode(image, mode)
            if image.size != (width, height):
                image = image.resize(
                    (width, height), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP
                )
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise almost anything on damaged bytes
        raise UnreadableImage(f"damaged image: {_first_line(error)}") from error
    return np.asarray(image, np.uint8).reshape(height, width, -1)


def _open(content: bytes, mode: str, side: int) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.format in ("JPEG", "MPO") and content.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
        raise UnreadableImage(f"more than {MAX_JPEG_SCANS} scans: save the image again")
    columns, rows = image.size
    if columns * rows > MAX_IMAGE_PIXELS:
        raise UnreadableImage(
            f"{columns} x {rows} is more than {MAX_IMAGE_PIXELS:,} pixels: cut the image into parts"
        )
    # A large JPEG is scaled while it is decoded, as far as that leaves twice the asked size.
    image.draft(mode, (side, side))
    image.load()
    return image


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels have no fixed range: save as 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    elif image.has_transparency_data:
        image = _on_black(image)
    return image if image.mode == mode else image.convert(mode)


def _on_black(image: Image.Image) -> Image.Image:
    composed = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        bottom = min(top + _BAND, image.height)
        band = image.crop((0, top, image.width, bottom)).convert("RGBA")
        ground = Image.new("RGBA", band.size, (0, 0, 0, 255))
        composed.paste(Image.alpha_composite(ground, band).convert("RGB"), (0, top))
    return composed


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImage("32-bit pixels have no fixed range: save as 8 or 16 bits")
    pixels = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _BAND):
        pixels[top : top + _BAND] = np.round(values[top : top + _BAND] / 257)
    return Image.fromarray(pixels)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
