"""The part of an ingest that runs in Spark's executors: read, decode and write one file.

Imported by every Python worker, so it keeps to numpy, Pillow, pyarrow, simplejpeg and xxhash.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from PIL import __version__ as pillow_version
from pyarrow import fs
from simplejpeg import __version__ as simplejpeg_version

from data.dicom import versions
from data.images import DECODING_RULES, OnDamage, UnreadableImage, decode_file
from data.remarks import NOTED, Remarks
from data.reuse import RECIPE, Places
from data.schema import INGEST_SCHEMA
from data.storage import exists, locate, read_bytes

#: A row group is what a reader of a large shard holds at once: small enough that some hundred fit
#: its shuffle buffer, large enough that reading one is a single long read.
ROW_GROUP_ROWS = 128
ROW_GROUP_BYTES = 8 * 2**20

#: LZ4 is nearly free on both sides and takes the black ground of segmented cells off the disk.
COMPRESSION = "lz4"
#: Columns in which no two values are alike.
_DIGESTS = ("source_xxh128", "pixels_sha256", "row_sha256")


@dataclass(frozen=True)
class ImageSize:
    """What every image of the data set is brought to."""

    height: int
    width: int
    color: str

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 3 if self.color == "rgb" else 1

    @property
    def bytes(self) -> int:
        """Bytes of one decoded image."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Chunk:
    """The images of one Parquet file: names only, no pixels."""

    #: Folder or URI that relative paths start from.
    source: str
    #: Folder or URI of the data set.
    output: str
    #: Name of the file in it.
    name: str
    size: ImageSize
    #: Treatment of damaged images, see `data.images.decode_file`.
    damaged: OnDamage
    #: See :func:`recipe`.
    recipe: str
    #: Number of rows.
    images: int
    #: Columns of `data.schema.IMAGE_SCHEMA` that are known before decoding and those of
    #: `data.reuse.PLACE_SCHEMA`, as an Arrow stream: the driver holds all chunks, and rows as
    #: Python objects are ten times as large.
    rows: bytes


@dataclass(frozen=True)
class ChunkResult:
    """What the driver gets to know of a written chunk."""

    name: str
    #: One digest for each image that was written, in order.
    digests: tuple[bytes, ...]
    #: Path and reason of each image that was not.
    rejects: tuple[tuple[str, str], ...]
    #: Labels that were written.
    labels: frozenset[int]
    #: Remarks on the images that were written.
    remarks: Remarks
    #: Why the file could not be written. A value, not an exception: Spark would print a
    #: traceback for each task.
    failure: str | None = None

    @property
    def rows(self) -> int:
        """Number of images written."""
        return len(self.digests)


def recipe(size: ImageSize, damaged: OnDamage, *, holds_dicom: bool = False) -> str:
    """Return what decides the pixels and digests of an image beside its file."""
    return (
        f"{size.height} x {size.width} {size.color}, rules {DECODING_RULES}, damaged {damaged}, "
        f"pillow {pillow_version}, simplejpeg {simplejpeg_version}, xxh128"
        + (f", {versions()}" if holds_dicom else "")
    )


def chunk_name(split: str, number: int, rows: pa.Table, made_by: str) -> str:
    """Return a file name that other content, or another recipe ``made_by``, has another one of.

    So a file that is there is this chunk's, and an ingest that was interrupted, or finds the images
    of its folder changed, does not write over what it still reads.
    """
    digest = hashlib.sha256(made_by.encode())
    for column in rows.columns:
        for value in column.to_pylist():
            digest.update(f"{value}\0".encode())
    return f"{split}-{number:05d}-{digest.hexdigest()[:12]}.parquet"


def pack_rows(table: pa.Table) -> bytes:
    """Return ``table`` as an Arrow stream, which holds no more than its own rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_chunk(chunk: Chunk) -> ChunkResult:
    """Decode the images of ``chunk`` and write its file, whole or not at all.

    Holds the pixels of one row group at a time. Without a readable image no file is written. What
    is there already is not decoded again.
    """
    if (there := _already_there(chunk)) is not None:
        return there
    writer = _FileWriter(chunk)
    digests: list[bytes] = []
    rejects: list[tuple[str, str]] = []
    labels: set[int] = set()
    remarks = Remarks()
    try:
        for row in _decoded(chunk, rejects):
            row["row_sha256"] = row_digest(row)
            writer.add(row)
            digests.append(row["row_sha256"])
            labels.add(row["label"])
            remarks.add(row["path"], row["remarks"], row["bits"])
        writer.close()
    except OSError as error:  # the images' own errors are rejects by now
        writer.abandon()
        return ChunkResult(chunk.name, (), (), frozenset(), Remarks(), failure=str(error))
    return ChunkResult(chunk.name, tuple(digests), tuple(rejects), frozenset(labels), remarks)


def row_digest(row: dict[str, Any]) -> bytes:
    """SHA-256 over what a model and its judge get to see of an image.

    Paths are left out: the same images elsewhere are the same data.
    """
    digest = hashlib.sha256()
    for name in ("image_id", "label", "patient_id", "class_name"):
        digest.update(f"{row[name]}\0".encode())
    digest.update(row["pixels_sha256"])
    return digest.digest()


def _already_there(chunk: Chunk) -> ChunkResult | None:
    """Return what a finished file of this chunk says of itself.

    Only files without rejects are taken as they are: their reasons stand nowhere else.
    """
    filesystem, root = locate(chunk.output)
    path = f"{root}/{chunk.name}"
    if not exists(filesystem, path):
        return None
    with filesystem.open_input_file(path) as stream:
        try:
            table = pq.read_table(stream, columns=["path", "label", "row_sha256", *NOTED])
        except (OSError, pa.ArrowInvalid):
            return None
    if table.num_rows != chunk.images:
        return None
    digests = tuple(table.column("row_sha256").to_pylist())
    labels = frozenset(table.column("label").to_pylist())
    remarks = Remarks()
    for row in table.select(["path", *NOTED]).to_pylist():
        remarks.add(row["path"], row["remarks"], row["bits"])
    return ChunkResult(chunk.name, digests, (), labels, remarks)


def _decoded(chunk: Chunk, rejects: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    filesystem, root = locate(chunk.source)
    places, size = Places(chunk.output), chunk.size
    for row in pa.ipc.open_stream(chunk.rows).read_all().to_pylist():
        file, number = row.pop("old_file"), row.pop("old_row")
        try:
            if file is not None:
                made = places.kept(file, number)
            else:
                content = read_image(filesystem, root, row["path"])
                found = decode_file(content, size.height, size.width, size.color, chunk.damaged)
                made = {
                    "pixels": found.pixels.tobytes(),
                    "source_xxh128": xxhash.xxh3_128_digest(content),
                    "remarks": [*found.remarks],
                    "bits": found.bits,
                }
        except UnreadableImage as error:
            rejects.append((row["path"], error.reason))
            continue
        yield {
            **row,
            "height": size.height,
            "width": size.width,
            "channels": size.channels,
            "pixels_sha256": hashlib.sha256(made["pixels"]).digest(),
            **made,
        }


def read_image(filesystem: fs.FileSystem, root: str, path: str) -> bytes:
    """Return the file at ``path``, below ``root`` or wherever a table says that it is.

    Raises
    ------
    UnreadableImage
        When it cannot be opened or read.
    """
    try:
        if path.startswith("/") or "://" in path:
            filesystem, path = locate(path)
            return read_bytes(filesystem, path)
        return read_bytes(filesystem, f"{root}/{path}")
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror or error}") from None


class _FileWriter:
    """Writes rows to one Parquet file that has its name only when it is complete."""

    def __init__(self, chunk: Chunk) -> None:
        self._filesystem, root = locate(chunk.output)
        self._path = f"{root}/{chunk.name}"
        self._schema = INGEST_SCHEMA.with_metadata({RECIPE: chunk.recipe})
        self._is_local = isinstance(self._filesystem, fs.LocalFileSystem)
        # In an object store a file appears when its upload is complete.
        self._unfinished = f"{self._path}.unfinished" if self._is_local else self._path
        self._limit = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // chunk.size.bytes))
        self._rows: list[dict[str, Any]] = []
        self._parquet: pq.ParquetWriter | None = None

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == self._limit:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._parquet is not None:
            self._parquet.close()
            if self._is_local:
                self._filesystem.move(self._unfinished, self._path)

    def abandon(self) -> None:
        """Leave nothing behind where the disk has just refused to write."""
        if self._parquet is not None:
            with contextlib.suppress(OSError):
                self._parquet.close()
        with contextlib.suppress(OSError):
            self._filesystem.delete_file(self._unfinished)

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._parquet is None:
            named = [n for n in INGEST_SCHEMA.names if n not in ("pixels", *_DIGESTS)]
            self._parquet = pq.ParquetWriter(
                self._unfinished,
                self._schema,
                filesystem=self._filesystem,
                compression=COMPRESSION,
                write_page_checksum=True,  # LZ4 does not notice a bit that has changed
                use_dictionary=named,
                write_statistics=named,
            )
        self._parquet.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []
