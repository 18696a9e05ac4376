"""Tar archives compressed on all cores, the same bytes for the same content."""

import gzip
import hashlib
import io
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

#: Seconds since 1970: the first day that a zip file knows. Contents decide, not when they came.
_TIME = 315_532_800
#: Compressed apart, so that threads share the work; gzip files may be joined end to end.
BLOCK_BYTES = 4 * 2**20
#: Level 6 takes nearly three times as long for a seventh less.
_LEVEL = 1
#: How each of them begins: a gzip file without a name and a time.
MEMBER = b"\x1f\x8b\x08" + bytes(5)


@dataclass(frozen=True)
class Entry:
    """A file of an archive."""

    #: Below the archive's root, with slashes.
    name: str
    #: A file to copy, or the content itself.
    content: Path | bytes
    executable: bool = False

    @property
    def is_library(self) -> bool:
        """Whether it is a shared library."""
        return ".so" in Path(self.name).suffixes


@contextmanager
def new_archive(path: Path) -> Iterator["ArchiveWriter"]:
    """Open a ``.tar.gz`` for writing."""
    with (
        path.open("wb") as output,
        _ParallelGzip(output) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        yield ArchiveWriter(tar)


class ArchiveWriter:
    """Writes entries to an open archive."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._digest = hashlib.sha256()
        #: Bytes of the contents before compression.
        self.content_bytes = 0

    @property
    def checksum(self) -> str:
        """SHA-256 of names, modes and contents so far, in their order."""
        return self._digest.hexdigest()

    def add(self, entries: Iterable[Entry]) -> None:
        """Write ``entries`` in the order of their names."""
        for entry in sorted(entries, key=lambda entry: entry.name):
            if isinstance(entry.content, bytes):
                self._write(entry, len(entry.content), io.BytesIO(entry.content))
            else:
                with entry.content.open("rb") as source:
                    self._write(entry, os.fstat(source.fileno()).st_size, source)

    def _write(self, entry: Entry, size: int, source: IO[bytes]) -> None:
        header = tarfile.TarInfo(entry.name)
        header.size, header.mtime = size, _TIME
        header.mode = 0o755 if entry.executable else 0o644
        self._digest.update(f"{entry.name}\0{header.mode:o}\0{size}\0".encode())
        self._tar.addfile(header, _Hashing(source, self._digest.update))
        self.content_bytes += size


class _Hashing(io.RawIOBase):
    """Reads a file and shows each piece to a digest."""

    def __init__(self, source: IO[bytes], update: Callable[[bytes], None]) -> None:
        self._source, self._update = source, update

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._update(piece)
        return piece


class _ParallelGzip(io.RawIOBase):
    """Compresses what is written, block by block in threads: zlib works outside the GIL."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._block = bytearray()
        threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(threads, "gzip")
        self._waiting: deque[Future[bytes]] = deque()
        #: More would only fill the memory.
        self._most_waiting = 2 * threads

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._block += data
        while len(self._block) >= BLOCK_BYTES:
            self._submit(bytes(self._block[:BLOCK_BYTES]))
            del self._block[:BLOCK_BYTES]
        return len(memoryview(data))

    def close(self) -> None:
        if self.closed:
            return
        if self._block:
            self._submit(bytes(self._block))
        while self._waiting:
            self._output.write(self._waiting.popleft().result())
        self._pool.shutdown()
        super().close()

    def _submit(self, block: bytes) -> None:
        self._waiting.append(self._pool.submit(gzip.compress, block, _LEVEL, mtime=0))
        if len(self._waiting) > self._most_waiting:
            self._output.write(self._waiting.popleft().result())
