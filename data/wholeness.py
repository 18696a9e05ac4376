"""Detection of damage that a decoder does not report, by the checksums in a file."""

import zlib
from collections.abc import Iterator

import simplejpeg
from PIL import Image

_PNG_SIGNATURE_BYTES = 8
#: Bytes of a PNG chunk before its data (length and type) and after it (checksum).
_HEAD, _CHECKSUM = 8, 4

_COMPRESSION, _JPEG_TABLES = 259, 347
_STRIPS, _TILES = (273, 279), (324, 325)
_DEFLATE, _JPEG = (8, 32946), 7
_MARKER = 2  # bytes of "start of image" and of "end of image"
#: Data is inflated and discarded in pieces, as a strip of a few kilobytes may expand to gigabytes.
_PIECE = 2**20


def damage(image: Image.Image, content: bytes) -> str | None:
    """Return a description of the damage to an opened image, or None if none is detected.

    The checks are, for PNG, the CRC-32 of every chunk and the presence of the last chunk, IEND; for
    deflated TIFF, the Adler-32 of each strip or tile of the page; for TIFF with JPEG strips, the
    warnings of libjpeg. JPEG files are decoded strictly by `data.jpeg` instead.
    """
    if image.format == "PNG":
        return _damage_of_png(content)
    if image.format == "TIFF":
        return _damage_of_tiff(image, content)
    return None


def _damage_of_png(content: bytes) -> str | None:
    view = memoryview(content)
    place = _PNG_SIGNATURE_BYTES
    while True:
        end = place + _HEAD + int.from_bytes(view[place : place + 4], "big")
        if end + _CHECKSUM > len(content):
            return "the file ends before its last chunk"
        checksum = int.from_bytes(view[end : end + _CHECKSUM], "big")
        kind = content[place + 4 : place + _HEAD]
        if zlib.crc32(view[place + 4 : end]) != checksum:
            return f"the checksum of a chunk {kind.decode('ascii', 'backslashreplace')} is wrong"
        if kind == b"IEND":
            return None
        place = end + _CHECKSUM


def _damage_of_tiff(image: Image.Image, content: bytes) -> str | None:
    compression = image.tag_v2.get(_COMPRESSION)
    if compression in _DEFLATE and not all(map(_inflates, _parts(image, content))):
        return "the checksum of a strip is wrong"
    if compression == _JPEG:
        tables = image.tag_v2.get(_JPEG_TABLES, b"")[:-_MARKER]
        for part in _parts(image, content):
            found = _warning(tables + part[_MARKER:] if tables else part)
            if found is not None:
                return found
    return None


def _parts(image: Image.Image, content: bytes) -> Iterator[bytes]:
    """Yield the compressed strips or tiles of the current page of a TIFF."""
    for offsets, counts in (_STRIPS, _TILES):
        if offsets in image.tag_v2 and counts in image.tag_v2:
            for start, count in zip(image.tag_v2[offsets], image.tag_v2[counts], strict=False):
                if count:  # some programs omit empty tiles
                    yield content[start : start + count]


def _inflates(part: bytes) -> bool:
    stream = zlib.decompressobj()
    try:
        while part:
            stream.decompress(part, _PIECE)
            part = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def _warning(part: bytes) -> str | None:
    try:
        simplejpeg.decode_jpeg(part, "GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return None if is_refusal(error) else str(error)
    return None


def is_refusal(error: ValueError) -> bool:
    """Return whether libjpeg-turbo refuses a kind of JPEG, damaged or not, that Pillow may read.

    Messages of libjpeg-turbo, on rare chroma subsampling, begin with the name of a function; those
    of libjpeg on the data do not.
    """
    return str(error).startswith("tj")
