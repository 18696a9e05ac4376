"""The manifest of an archive, read from its end without decompressing the rest."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from deploy.packing.archive import BLOCK_BYTES, MEMBER
from experiments.spark.environment import MANIFEST

#: The manifest is the last file of an archive, so it is in one of the last two blocks; the margin
#: allows for incompressible data, which grows slightly.
_TAIL_BYTES = 2 * BLOCK_BYTES + 2**16
#: Tar header: the terminated name, and the position of the size in octal digits.
_HEADER = MANIFEST.encode() + b"\0"
_SIZE = slice(124, 136)
_TAR_BLOCK = 512


def read(archive: Path) -> dict[str, Any] | None:
    """Return the manifest, or None if the file was not created by ``sparkdl-bench deploy pack``."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    at = len(tail)
    while (at := tail.rfind(MEMBER, 0, at)) >= 0:
        try:
            found = _last_file(gzip.decompress(tail[at:]))
        except (EOFError, OSError, ValueError, zlib.error):  # data that resembles a gzip header
            continue
        if found is not None:
            return found
    return None


def _last_file(content: bytes) -> dict[str, Any] | None:
    """Return the manifest from the end of a tar file, or None if it is not there."""
    start = content.rfind(_HEADER)
    if start < 0 or (len(content) - start) % _TAR_BLOCK:
        return None
    size = int(content[start:][_SIZE].rstrip(b"\0 "), 8)
    found = json.loads(content[start + _TAR_BLOCK :][:size])
    return found if isinstance(found, dict) else None
