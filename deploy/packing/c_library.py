"""The C library version that the programs and libraries of an archive require.

Every symbol of glibc carries the version that introduced it, and every ELF file lists the versions
that it uses: the newest of them, not the machine that packs, decides where an archive runs.
"""

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from deploy.packing.archive import Entry

Version = tuple[int, ...]

_NAME = "glibc-"
#: Oldest symbol version on 64-bit systems.
_OLDEST = (2, 2, 5)
_SYMBOL = re.compile(rb"GLIBC_(\d+(?:\.\d+)+)")
#: Required by files with packed relocations, which glibc supports since 2.36.
_PACKED_RELOCATIONS, _SINCE = b"GLIBC_ABI_DT_RELR", (2, 36)
_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
#: Offsets in the ELF header of the position of the section headers, and of their size and number.
_SECTIONS_AT, _SECTION_COUNTS = 0x28, 0x3A
#: Section header: type, offset, size, link.
_SECTION = struct.Struct("<4xI16xQQI20x")
_VERSION_NEEDS = 0x6FFFFFFE
#: Entry of a library: number of versions, their offset, offset of the next library.
_LIBRARY = struct.Struct("<2xH4xII")
#: Entry of a version: flags, name, offset of the next version.
_VERSION = struct.Struct("<4xH2xII")
#: Flag of a version that the file uses only if it is available.
_WEAK = 2


def needed_by(entries: Iterable[Entry]) -> str:
    """Return the oldest C library that all ``entries`` run with, such as ``glibc-2.34``."""
    files = [e.content for e in entries if isinstance(e.content, Path)]
    versions = [needed(path) for path in files if path.suffix != ".py"]
    return _NAME + ".".join(map(str, max([_OLDEST, *versions])))


def version(name: str) -> Version | None:
    """Return the version numbers in a name such as ``glibc-2.34``, or None for other names."""
    text = name.removeprefix(_NAME)
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+(\.\d+)+", text) else None


def needed(path: Path) -> Version:
    """Return the newest glibc version that a file requires; ``()`` if it requires none."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return ()
        content = _MAGIC + file.read()
    try:
        return max(map(_since, _symbol_versions(content)), default=())
    except (struct.error, ValueError, IndexError):  # truncated files, such as test data
        return ()


def _symbol_versions(content: bytes) -> list[bytes]:
    """Return the names of the symbol versions that an ELF file requires, of all libraries."""
    (start,) = struct.unpack_from("<Q", content, _SECTIONS_AT)
    size, count = struct.unpack_from("<HH", content, _SECTION_COUNTS)
    sections = [_SECTION.unpack_from(content, start + number * size) for number in range(count)]
    names = []
    for kind, offset, _, link in sections:
        if kind != _VERSION_NEEDS:
            continue
        strings = sections[link][1]
        library = offset
        while True:
            versions, first, following = _LIBRARY.unpack_from(content, library)
            one = library + first
            for _ in range(versions):
                flags, name, step = _VERSION.unpack_from(content, one)
                if not flags & _WEAK:
                    at = strings + name
                    names.append(content[at : content.index(b"\0", at)])
                one += step
            if not following:
                break
            library += following
    return names


def _since(name: bytes) -> Version:
    if name == _PACKED_RELOCATIONS:
        return _SINCE
    found = _SYMBOL.fullmatch(name)
    return tuple(map(int, found[1].split(b"."))) if found else ()
