"""Size and color mode of a source's images, estimated from a sample."""

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import fs

from data import libtiff
from data.chunks import read_image
from data.datum import split_address
from data.images import FORMATS, UnreadableImage, decode_at_own_size
from data.layouts import Index
from data.storage import locate, read_bytes

#: Images whose size is read: fewer in an object store, where each one is a download.
_HEADERS, _HEADERS_ELSEWHERE = 200, 20
#: Images that are decoded to determine whether they are gray.
_DECODED = 30
#: EXIF tag, and its values that swap height and width.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Appearance:
    """Median size and color mode of a sample of images."""

    #: Median height and width in pixels.
    height: int
    width: int
    #: True if all decoded images of the sample are gray.
    is_grey: bool


def appearance(index: Index, table: pa.Table) -> Appearance | None:
    """Return the median size of the images of ``table`` and whether they are gray.

    Up to 200 headers are read and up to 30 images decoded, spaced evenly over the rows; in an
    object store, 20 images are downloaded.

    Parameters
    ----------
    index
        Index of the source, which gives the root folder of the images.
    table
        Selected rows of the index, with the column ``path``.

    Returns
    -------
    Appearance or None
        None if no image of the sample can be read.
    """
    filesystem, root = locate(index.root)
    here = isinstance(filesystem, fs.LocalFileSystem)
    paths = _evenly(table.column("path"), _HEADERS if here else _HEADERS_ELSEWHERE)
    decoded = {*paths[:: max(1, len(paths) // _DECODED)]}
    sizes: list[tuple[int, int]] = []
    greys: list[bool] = []
    for path, content in _contents(filesystem, root, paths, whole=decoded):
        size = _size(content)
        pixels = None
        # The size of a format that Pillow does not support is known only after decoding.
        if path in decoded or (size is None and len(sizes) < _DECODED):
            with suppress(UnreadableImage):
                pixels = decode_at_own_size(content.read())
        if pixels is not None:
            greys.append(_is_grey(pixels))
            size = size or (pixels.shape[0], pixels.shape[1])
        if size is not None:
            sizes.append(size)
    if not sizes:
        return None
    heights, widths = zip(*sizes, strict=True)
    grey = bool(greys) and all(greys)
    return Appearance(round(median(heights)), round(median(widths)), grey)


def sizes(root: str, paths: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield height and width of each readable image of ``paths``, from the headers of the files.

    Parameters
    ----------
    root
        Folder of the source on this machine.
    paths
        Paths relative to ``root``, or absolute paths given by a table.
    """
    filesystem, folder = locate(root)
    for _, stream in _contents(filesystem, folder, paths, whole=set()):
        if (size := _size(stream)) is not None:
            yield size


def _evenly(paths: pa.ChunkedArray, most: int) -> list[str]:
    places = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))
    return [str(path) for path in paths.take(pa.array(places)).to_pylist()]


def _contents(
    filesystem: fs.FileSystem, root: str, paths: Sequence[str], *, whole: set[str]
) -> Iterator[tuple[str, io.BufferedIOBase]]:
    """Yield path and stream of each file, skipping files that cannot be read."""
    for path in paths:
        if split_address(path) is not None:  # a record of a database
            with suppress(UnreadableImage):
                yield path, io.BytesIO(read_image(filesystem, root, path))
            continue
        # A table may refer to images outside the source folder.
        there, place = (
            locate(path)
            if path.startswith("/") or "://" in path
            else (filesystem, f"{root}/{path}")
        )
        with suppress(OSError, pa.ArrowInvalid):
            if isinstance(there, fs.LocalFileSystem) and path not in whole:
                with open(place, "rb") as stream:  # noqa: PTH123 - only the header is read
                    yield path, stream
            else:
                yield path, io.BytesIO(read_bytes(there, place))


def _size(stream: io.BufferedIOBase) -> tuple[int, int] | None:
    """Return height and width as displayed, from the header of an image file."""
    try:
        with Image.open(stream, formats=FORMATS) as image:
            if image.format == "TIFF":
                libtiff.silence()
            turned = image.format in ("JPEG", "MPO") and (
                image.getexif().get(_ORIENTATION) in _TURNED
            )
            width, height = image.size[::-1] if turned else image.size
            return height, width
    except Exception:  # decoders raise arbitrary exceptions on damaged files
        return None
    finally:
        stream.seek(0)


def _is_grey(pixels: np.ndarray) -> bool:
    """Return whether an image, shape (height, width) or (height, width, 3), is gray."""
    return pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())
