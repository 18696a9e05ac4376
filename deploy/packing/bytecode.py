"""Compiled Python files that stay valid wherever and whenever they are unpacked.

By default Python compares a compiled file with the modification time of its source, which an
archive does not preserve: every Python worker would recompile TensorFlow, which takes 12 CPU
seconds instead of 4.
"""

import importlib.util
import marshal
import struct
import warnings
from importlib.util import MAGIC_NUMBER
from pathlib import Path

_HEADER_BYTES = 16
#: Flags of a compiled file with a hash of its source (bit 0) that is not checked (bit 1 unset).
_HASHED_UNCHECKED = 0b01
_TIMESTAMPED = 0


def compiled(source: Path, name: str) -> bytes | None:
    """Return the content of the ``.pyc`` file of ``source``, or None if it is not Python 3.11.

    Parameters
    ----------
    name
        File name that tracebacks show, if the file has to be compiled here.
    """
    content = source.read_bytes()
    code = _cached(source) or _compile(content, name)
    if code is None:
        return None
    flags = struct.pack("<L", _HASHED_UNCHECKED)
    return MAGIC_NUMBER + flags + importlib.util.source_hash(content) + code


def cache_name(name: str, tag: str) -> str:
    """Return the name of the compiled file of ``name`` in an archive."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}__pycache__/{file.removesuffix('.py')}.{tag}.pyc"


def _cached(source: Path) -> bytes | None:
    """Return the code compiled at installation, or None if it is missing or out of date."""
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
    except (SyntaxError, ValueError):  # templates, and tests for other versions of Python
        return None
