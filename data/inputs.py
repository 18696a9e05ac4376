"""Detection of changes to the images of a prepared data set, without reading the images."""

import hashlib
from collections.abc import Iterator

import pyarrow as pa
from PIL import __version__ as pillow_version
from simplejpeg import __version__ as simplejpeg_version

from data.config import DataConfig
from data.dicom import versions
from data.images import DECODING_RULES
from data.layouts import Index
from data.rejects import of_kinds
from data.schema import FORMAT, NO_IMAGE, SET_ASIDE, UNUSED
from data.storage import locate, read_bytes
from data.values import values_of


def inputs_digest(index: Index, config: DataConfig) -> str:
    """Return the SHA-256 over the index of a source and the size of each image.

    Modification times are excluded, because copying or unzipping the same images changes them. The
    location of the source and hidden files, which file managers create while browsing, are excluded
    too. A given split manifest, the versions of the decoders and the decoding rules are included.
    """
    decoders = f"pillow {pillow_version}, simplejpeg {simplejpeg_version}, rules {DECODING_RULES}"
    if index.holds_dicom:
        decoders += f", {versions()}"
    digest = hashlib.sha256(f"{decoders}\0".encode())
    for table in (index.table, of_kinds(index.rejects, (FORMAT, UNUSED, SET_ASIDE, NO_IMAGE))):
        for column in table.columns:
            for value in values_of(column):
                digest.update(f"{value}\0".encode())
    for size in _sizes(index):
        digest.update(f"{size}\0".encode())
    if config.split.manifest is not None:
        digest.update(read_bytes(*locate(config.split.manifest)))
    return digest.hexdigest()


def _sizes(index: Index) -> Iterator[int | None]:
    """Yield the size in bytes of each image in the order of the index, None if it is missing."""
    paths = index.table.column("path")
    for path, size in zip(values_of(paths), values_of(index.bytes_of(paths)), strict=True):
        yield _size_elsewhere(path) if size is None else size


def _size_elsewhere(path: str) -> int | None:
    """Return the size of an image outside the source's folder that a table refers to."""
    try:
        filesystem, location = locate(path)
        size: int | None = filesystem.get_file_info(location).size
    except (OSError, pa.ArrowInvalid):
        return None
    return size
