"""Which C library the programs and libraries of an archive need.

glibc names the version in which each of its symbols came, and every ELF file lists those that it
uses: the newest of them, not the machine that packs, decides where an archive runs.
"""

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from deploy.packing.archive import Entry

Version = tuple[int, ...]

_NAME = "glibc-"
#: Of its symbols on 64 bits: nothing needs less.
_OLDEST = (2, 2, 5)
_SYMBOL = re.compile(rb"GLIBC_(\d+(?:\.\d+)+)")
#: Asked for by files with packed relocations, which glibc 2.36 was the first to read.
_PACKED_RELOCATIONS, _SINCE = b"GLIBC_ABI_DT_RELR", (2, 36)
_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
#: Of a file: where its section headers are; how large, how many.
_SECTIONS_AT, _SECTION_COUNTS = 0x28, 0x3A
#: Type, offset, size, link.
_SECTION = struct.Struct("<4xI16xQQI20x")
_VERSION_NEEDS = 0x6FFFFFFE
#: Of one library: number of versions, their offset, that of the next library.
_LIBRARY = struct.Struct("<2xH4xII")
#: Of one version: flags, name, offset of the next.
_VERSION = struct.Struct("<4xH2xII")
#: A file that only makes use of it where it is there.
_WEAK = 2


def needed_by(entries: Iterable[Entry]) -> str:
    """Return the oldest C library that all of ``entries`` run with, as ``glibc-2.34``."""
    files = [e.content for e in entries if isinstance(e.content, Path)]
    versions = [needed(path) for path in files if path.suffix != ".py"]
    return _NAME + ".".join(map(str, max([_OLDEST, *versions])))


def version(name: str) -> Version | None:
    """Return the numbers of ``glibc-2.34``, or None if it is no such name."""
    text = name.removeprefix(_NAME)
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+(\.\d+)+", text) else None


def needed(path: Path) -> Version:
    """Return the newest version of glibc that a file asks for; ``()`` if it asks for none."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return ()
        content = _MAGIC + file.read()
    try:
        return max(map(_since, _symbol_versions(content)), default=())
    except (struct.error, ValueError, IndexError):  # cut off, as data of tests are
        return ()


def _symbol_versions(content: bytes) -> list[bytes]:
    """Return the names of the versions that an ELF file needs, whatever the library."""
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
