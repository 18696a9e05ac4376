"""The part of an ingest that runs in Spark's executors: read, decode and write one file.

Every Python worker imports this module, so its dependencies are limited to NumPy, Pillow, PyArrow,
simplejpeg and xxhash, with lmdb and protobuf for databases of Caffe only.
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

from data.datum import BadRecord, read_record, split_address
from data.dicom import versions
from data.images import DECODING_RULES, OnDamage, UnreadableImage, decode_file
from data.remarks import NOTED, Remarks
from data.reuse import RECIPE, Places
from data.schema import INGEST_SCHEMA
from data.storage import exists, locate, read_bytes

#: Readers of a large shard load one row group at a time: small enough that about a hundred fit in
#: the shuffle buffer, large enough that reading one is a single long read.
ROW_GROUP_ROWS = 128
ROW_GROUP_BYTES = 8 * 2**20

#: LZ4 costs almost nothing to write or read and compresses the black background of segmented cells.
COMPRESSION = "lz4"
#: Columns whose values are practically all distinct.
_DIGESTS = ("source_xxh128", "pixels_sha256", "row_sha256")


@dataclass(frozen=True)
class ImageSize:
    """Size in pixels and color mode to which every image of the data set is converted."""

    height: int
    width: int
    color: str

    @property
    def channels(self) -> int:
        """Number of channels: 3 for ``rgb``, 1 for ``grey``."""
        return 3 if self.color == "rgb" else 1

    @property
    def bytes(self) -> int:
        """Size of one decoded image in bytes."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Chunk:
    """Images of one Parquet file: metadata only, no pixels."""

    #: Folder or URI that relative paths refer to.
    source: str
    #: Folder or URI of the data set.
    output: str
    #: Name of the file within ``output``.
    name: str
    size: ImageSize
    #: Treatment of damaged images, see `data.images.decode_file`.
    damaged: OnDamage
    #: See :func:`recipe`.
    recipe: str
    #: Number of rows.
    images: int
    #: Columns of `data.schema.IMAGE_SCHEMA` that are known before decoding and those of
    #: `data.reuse.PLACE_SCHEMA`, as an Arrow stream: the driver keeps all chunks in memory, and
    #: rows as Python objects are ten times as large.
    rows: bytes


@dataclass(frozen=True)
class ChunkResult:
    """Result of writing a chunk, returned to the driver."""

    name: str
    #: Digest of each image that was written, in order.
    digests: tuple[bytes, ...]
    #: Path and reason of each image that was rejected.
    rejects: tuple[tuple[str, str], ...]
    #: Labels that were written.
    labels: frozenset[int]
    #: Remarks on the images that were written.
    remarks: Remarks
    #: Reason why the file could not be written. This is a value rather than an exception because
    #: Spark would print a traceback for each task.
    failure: str | None = None

    @property
    def rows(self) -> int:
        """Number of images written."""
        return len(self.digests)


def recipe(size: ImageSize, damaged: OnDamage, *, holds_dicom: bool = False) -> str:
    """Return a string of all settings and versions that determine an image's pixels and digests."""
    return (
        f"{size.height} x {size.width} {size.color}, rules {DECODING_RULES}, damaged {damaged}, "
        f"pillow {pillow_version}, simplejpeg {simplejpeg_version}, xxh128"
        + (f", {versions()}" if holds_dicom else "")
    )


def chunk_name(split: str, number: int, rows: pa.Table, made_by: str) -> str:
    """Return a file name that is unique to the content of ``rows`` and the recipe ``made_by``.

    An existing file of this name therefore belongs to this chunk, and an ingest that resumes after
    an interruption, or whose images have changed, does not overwrite files that it still reads.
    """
    digest = hashlib.sha256(made_by.encode())
    for column in rows.columns:
        for value in column.to_pylist():
            digest.update(f"{value}\0".encode())
    return f"{split}-{number:05d}-{digest.hexdigest()[:12]}.parquet"


def pack_rows(table: pa.Table) -> bytes:
    """Return ``table`` as an Arrow stream that contains only its own rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_chunk(chunk: Chunk) -> ChunkResult:
    """Decode the images of ``chunk`` and write its file atomically.

    The pixels of one row group are kept in memory at a time. No file is written if none of the
    images can be read. If the file already exists, nothing is decoded.
    """
    if (existing := _existing_result(chunk)) is not None:
        return existing
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
    except OSError as error:  # errors of single images have already become rejects
        writer.abandon()
        return ChunkResult(chunk.name, (), (), frozenset(), Remarks(), failure=str(error))
    return ChunkResult(chunk.name, tuple(digests), tuple(rejects), frozenset(labels), remarks)


def row_digest(row: dict[str, Any]) -> bytes:
    """Return the SHA-256 over everything that training and evaluation use of an image.

    Paths are excluded: the same images in another folder are the same data.
    """
    digest = hashlib.sha256()
    for name in ("image_id", "label", "patient_id", "class_name"):
        digest.update(f"{row[name]}\0".encode())
    digest.update(row["pixels_sha256"])
    return digest.digest()


def _existing_result(chunk: Chunk) -> ChunkResult | None:
    """Return the result of a finished file of this chunk, or None if there is none.

    Only files without rejects are reused, because the reasons of rejects are not stored in them.
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
    """Return the content of the file at ``path``.

    Parameters
    ----------
    filesystem, root
        File system and folder of the source.
    path
        Path relative to ``root``, or an absolute path or URI given by a table; or the address of a
        record in an LMDB of Caffe below ``root``, see `data.datum`.

    Raises
    ------
    UnreadableImage
        If the file cannot be opened or read.
    """
    try:
        if path.startswith("/") or "://" in path:
            filesystem, path = locate(path)
            return read_bytes(filesystem, path)
        if (record := split_address(path)) is not None:
            return read_record(f"{root}/{record[0]}", record[1])
        return read_bytes(filesystem, f"{root}/{path}")
    except BadRecord as error:
        raise UnreadableImage(str(error)) from None
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror or error}") from None


class _FileWriter:
    """Writer of one Parquet file, which is renamed to its final name when complete."""

    def __init__(self, chunk: Chunk) -> None:
        self._filesystem, root = locate(chunk.output)
        self._path = f"{root}/{chunk.name}"
        self._schema = INGEST_SCHEMA.with_metadata({RECIPE: chunk.recipe})
        self._is_local = isinstance(self._filesystem, fs.LocalFileSystem)
        # In an object store, a file becomes visible only when its upload is complete.
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
        """Remove the unfinished file after a write error."""
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
                write_page_checksum=True,  # LZ4 does not detect flipped bits
                use_dictionary=named,
                write_statistics=named,
            )
        self._parquet.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []
