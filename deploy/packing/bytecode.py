"""Compiled Python that stays valid wherever and whenever it is unpacked.

Python otherwise compares a compiled file with the time of its source, which no archive keeps
alike: every Python worker would compile TensorFlow anew, 12 CPU seconds instead of 4.
"""

import importlib.util
import marshal
import struct
import warnings
from importlib.util import MAGIC_NUMBER
from pathlib import Path

_HEADER_BYTES = 16
#: Of a compiled file: it holds a hash of its source (1), which is not looked at (no 2).
_HASHED_UNCHECKED = 0b01
_TIMESTAMPED = 0


def compiled(source: Path, name: str) -> bytes | None:
    """Return what ``__pycache__`` should hold for ``source``, or None if it is no Python 3.11.

    Parameters
    ----------
    name
        What a traceback calls the file, where it is compiled here.
    """
    content = source.read_bytes()
    code = _cached(source) or _compile(content, name)
    if code is None:
        return None
    flags = struct.pack("<L", _HASHED_UNCHECKED)
    return MAGIC_NUMBER + flags + importlib.util.source_hash(content) + code


def cache_name(name: str, tag: str) -> str:
    """Return the name in an archive of the compiled file of ``name``."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}__pycache__/{file.removesuffix('.py')}.{tag}.pyc"


def _cached(source: Path) -> bytes | None:
    """Return the code that was compiled at installation, if it is that of ``source``."""
    try:
        content = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    except OSError:
        return None
    there = source.stat()
    expected = struct.pack(
        "<LLL", _TIMESTAMPED, int(there.st_mtime) & 0xFFFFFFFF, there.st_size & 0xFFFFFFFF
    )
    return content[_HEADER_BYTES:] if content[:_HEADER_BYTES] == MAGIC_NUMBER + expected else None


def _compile(content: bytes, name: str) -> bytes | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return marshal.dumps(compile(content, name, "exec", dont_inherit=True, optimize=0))
    except (SyntaxError, ValueError):  # templates and tests of other Pythons
        return None
