"""What an archive says of itself, read from its end: all before it stays compressed."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from deploy.packing.archive import BLOCK_BYTES, MEMBER
from experiments.spark.environment import MANIFEST

#: The manifest is the last file of an archive, so it lies in one of the last two blocks; what
#: cannot be compressed grows a little.
_TAIL_BYTES = 2 * BLOCK_BYTES + 2**16
#: Of a tar header: a name that ends, and where the size stands in octal digits.
_HEADER = MANIFEST.encode() + b"\0"
_SIZE = slice(124, 136)
_TAR_BLOCK = 512


def read(archive: Path) -> dict[str, Any] | None:
    """Return the manifest, or None when ``python -m deploy pack`` has not made the file."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    at = len(tail)
    while (at := tail.rfind(MEMBER, 0, at)) >= 0:
        try:
            found = _last_file(gzip.decompress(tail[at:]))
        except (EOFError, OSError, ValueError, zlib.error):  # by chance, compressed data look so
            continue
        if found is not None:
            return found
    return None


def _last_file(content: bytes) -> dict[str, Any] | None:
    """Return the manifest from the end of a tar file, which is whole blocks long."""
    start = content.rfind(_HEADER)
    if start < 0 or (len(content) - start) % _TAR_BLOCK:
        return None
    size = int(content[start:][_SIZE].rstrip(b"\0 "), 8)
    found = json.loads(content[start + _TAR_BLOCK :][:size])
    return found if isinstance(found, dict) else None
