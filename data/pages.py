"""Files with several images: frames of an animation, pages of a TIFF."""

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT = 254, 256, 257
_BIG_TIFF = 43
#: Bits of NewSubfileType: reduced version of another page, and transparency mask.
_NO_IMAGE_OF_ITS_OWN = 0b101
#: Maximum number of pages that are considered: a file of a few kilobytes can contain thousands.
MAX_PAGES = 1000


class BrokenPages(Exception):  # noqa: N818 - named after a property of the file
    """Exception for a TIFF whose list of pages contains an invalid page."""


def has_several(image: Image.Image) -> bool:
    """Return whether the file of an opened image contains more than one image."""
    return bool(getattr(image, "is_animated", False))


def choose_page(image: Image.Image, content: bytes) -> None:
    """Select the main page of a TIFF before it is loaded.

    The main page is the largest, and the first of several equally large ones: microscopes and
    scanners store a thumbnail before the image and reduced versions after it. Pages marked as a
    reduced version or a mask are used only if there are no others.

    Raises
    ------
    BrokenPages
        If the list of pages contains an invalid page.
    """
    sizes = _sizes(image, content)
    image.seek(sizes.index(max(sizes)))


def _sizes(image: Image.Image, content: bytes) -> list[tuple[bool, int]]:
    """Return, for each page, whether it is an independent image and its number of pixels."""
    header = content[:16] if _BIG_TIFF in content[2:4] else content[:8]
    directory, stream = image.tag_v2, io.BytesIO(content)
    seen, sizes = {directory.offset}, [_size(directory)]
    while directory.next and directory.next not in seen and len(sizes) < MAX_PAGES:
        place = directory.next
        seen.add(place)
        directory = ImageFileDirectory_v2(header)
        stream.seek(place)
        try:
            directory.load(stream)
            sizes.append(_size(directory))
        except Exception as error:  # invalid structure, wrong integer types or missing tags
            raise BrokenPages("its list of pages is broken") from error
    return sizes


def _size(directory: ImageFileDirectory_v2) -> tuple[bool, int]:
    own = not directory.get(_NEW_SUBFILE_TYPE, 0) & _NO_IMAGE_OF_ITS_OWN
    return own, directory[_WIDTH] * directory[_HEIGHT]
