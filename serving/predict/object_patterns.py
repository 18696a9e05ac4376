"""Objects whose names match a pattern such as ``s3://bucket/scans/**/*.png``."""

import fnmatch
import re

from pyarrow import fs

from data.object_listing import objects_below
from data.object_store import SCHEME, locate_object

_WILDCARD = re.compile(r"[*?\[]")


def matching_objects(pattern: str) -> list[str]:
    """Return the addresses of the objects that match ``pattern``, sorted.

    As in a shell, ``*`` and ``?`` stand for characters other than the slash, ``[...]`` for one of
    the enclosed characters, and ``**`` for any number of folders.

    Parameters
    ----------
    pattern
        ``s3://`` address with wildcards after the name of the bucket.

    Raises
    ------
    DataError
        If the address names no bucket, or the server cannot be reached.
    """
    parts = pattern.split("://", 1)[1].split("/")
    fixed = next(i for i, part in enumerate(parts) if _WILDCARD.search(part))
    filesystem, root = locate_object(SCHEME + "/".join(parts[:fixed]))
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        return []
    expression = re.compile(_expression(parts[fixed:]))
    names = (name for name, _ in objects_below(filesystem, root) if expression.fullmatch(name))
    return sorted(f"{SCHEME}{root}/{name}" for name in names)


def _expression(parts: list[str]) -> str:
    """Return the regular expression of a pattern that is split at its slashes."""
    *folders, name = parts
    written = [r"(?:[^/]+/)*" if part == "**" else _part(part) + "/" for part in folders]
    return "".join(written) + (".*" if name == "**" else _part(name))


def _part(part: str) -> str:
    return "".join(map(_piece, re.split(r"(\*|\?|\[[^\]]+\])", part)))


def _piece(piece: str) -> str:
    if piece == "*":
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("["):
        return "(?!/)" + fnmatch.translate(piece).removesuffix(r"\Z")
    return re.escape(piece)
