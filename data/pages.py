"""Files of several images: frames of an animation, pages of a TIFF."""

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_NEW_SUBFILE_TYPE, _WIDTH, _HEIGHT = 254, 256, 257
_BIG_TIFF = 43
#: Bits of NewSubfileType: a smaller version of another page, and a mask of transparency.
_NO_IMAGE_OF_ITS_OWN = 0b101
#: Pages among which one is chosen: a file of some kilobytes can hold thousands.
MAX_PAGES = 1000


class BrokenPages(Exception):  # noqa: N818 - named after what it says of the file
    """The list of a TIFF's pages leads to what is no page."""


def has_several(image: Image.Image) -> bool:
    """Tell whether the file of an opened image holds more than one."""
    return bool(getattr(image, "is_animated", False))


def choose_page(image: Image.Image, content: bytes) -> None:
    """Turn to the page of a TIFF that is the image itself, before it is loaded.

    That is the largest, and the first of several as large: microscopes and scanners put a thumbnail
    before the image, and smaller versions of it behind. Pages that say of themselves that they are
    a reduced version or a mask count last.

    Raises
    ------
    BrokenPages
        When the list of pages leads to what is none.
    """
    sizes = _sizes(image, content)
    image.seek(sizes.index(max(sizes)))


def _sizes(image: Image.Image, content: bytes) -> list[tuple[bool, int]]:
    """Return of each page whether it is an image of its own, and its pixels."""
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
        except Exception as error:  # of struct, of integers of another type, of missing tags
            raise BrokenPages("its list of pages is broken") from error
    return sizes


def _size(directory: ImageFileDirectory_v2) -> tuple[bool, int]:
    own = not directory.get(_NEW_SUBFILE_TYPE, 0) & _NO_IMAGE_OF_ITS_OWN
    return own, directory[_WIDTH] * directory[_HEIGHT]
