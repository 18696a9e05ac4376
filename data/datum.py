"""Images in LMDB databases of Caffe, whose values are messages of the type ``Datum``.

The address of a record is the path of its database file followed by its key, for example
``train_lmdb/data.mdb/00000007_P01/a.png``. It stands for a file wherever images are read.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

#: Name of the file in which LMDB stores a database, and of the lock beside it.
DATABASE, LOCK = "data.mdb", "lock.mdb"
_MARK = f"{DATABASE}/"
#: Fields of the message with their published numbers.
_FIELDS = {
    "channels": (1, "int32"),
    "height": (2, "int32"),
    "width": (3, "int32"),
    "data": (4, "bytes"),
    "label": (5, "int32"),
    "float_data": (6, "float"),
    "encoded": (7, "bool"),
}
# The library refuses to open a database twice in one process.
_OPENING = threading.Lock()


class BadRecord(Exception):  # noqa: N818 - named after a property of the record
    """Exception for a database or record that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Record:
    """Key, label and size of a record, before its image is decoded."""

    key: bytes
    label: int
    #: Size of the message in bytes.
    size: int
    #: Reason why the message cannot be read, None if it can.
    problem: str | None = None


def split_address(path: str) -> tuple[str, str] | None:
    """Return the path of the database file and the key, None if ``path`` is no record."""
    if path.startswith(_MARK):
        return DATABASE, path[len(_MARK) :]
    folder, mark, key = path.partition(f"/{_MARK}")
    return (f"{folder}/{DATABASE}", key) if mark else None


def records(database: str) -> Iterator[Record]:
    """Yield all records of the database file at the local path ``database``, in key order.

    Raises
    ------
    BadRecord
        If the file is not a readable LMDB database.
    """
    with _transaction(database) as transaction:
        for key, value in transaction.cursor():
            try:
                yield Record(key, _parse(value).label, len(value))
            except BadRecord as error:
                yield Record(key, 0, len(value), str(error))


def count(database: str) -> int:
    """Return the number of records of the database file at the local path ``database``.

    Raises
    ------
    BadRecord
        If the file is not a readable LMDB database.
    """
    with _transaction(database) as transaction:
        return int(transaction.stat()["entries"])


def read_record(database: str, key: str) -> bytes:
    """Return the image of a record as the content of an image file.

    Encoded images (JPEG, PNG) are returned unchanged. Raw pixels, unsigned bytes of the shape
    (channels, height, width) in the order blue, green, red, are returned as a BMP file, which
    stores them without loss.

    Raises
    ------
    BadRecord
        If the database or the record cannot be read, or its pixels are not one or three channels
        of unsigned bytes.
    """
    with _transaction(database) as transaction:
        value = transaction.get(key.encode())
    if value is None:
        raise BadRecord("the database has no record of this key")
    datum = _parse(value)
    return bytes(datum.data) if datum.encoded else _as_bmp(datum)


def _as_bmp(datum: Any) -> bytes:
    channels, height, width = datum.channels, datum.height, datum.width
    if len(datum.float_data):
        raise BadRecord("floating-point pixels have no fixed range: store unsigned bytes in data")
    if channels not in (1, 3) or min(height, width) < 1:
        raise BadRecord(f"{channels} x {height} x {width} is not a grayscale or color image")
    if len(datum.data) != channels * height * width:
        raise BadRecord(
            f"damaged image: {len(datum.data):,} bytes of pixels instead of {channels} x {height} "
            f"x {width}"
        )
    pixels = np.frombuffer(datum.data, np.uint8).reshape(channels, height, width)
    ordered = pixels[0] if channels == 1 else np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    stream = io.BytesIO()
    Image.fromarray(ordered).save(stream, "BMP")
    return stream.getvalue()


@contextmanager
def _transaction(database: str) -> Iterator[Any]:
    import lmdb

    if not Path(database).is_file():
        raise BadRecord("the database does not exist")
    with _OPENING:
        try:
            # Without a lock, databases in read-only folders can be used.
            environment = lmdb.open(
                database, subdir=False, readonly=True, lock=False, readahead=False
            )
            try:
                with environment.begin() as transaction:
                    yield transaction
            finally:
                environment.close()
        except lmdb.Error as error:
            raise BadRecord(f"cannot be read as an LMDB database: {error}") from None


def _parse(value: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return message_class().FromString(value)
    except DecodeError:
        raise BadRecord("damaged image: its value is not a Datum message of Caffe") from None


@lru_cache(maxsize=1)
def message_class() -> Any:
    """Return the class of the message ``Datum``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    package = "sparkdl_bench.datum"
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkdl_bench/datum.proto", package=package, syntax="proto2"
    )
    message = file.message_type.add(name="Datum")
    for field, (number, kind) in _FIELDS.items():
        added = message.field.add(name=field, number=number)
        added.label = kinds.LABEL_REPEATED if field == "float_data" else kinds.LABEL_OPTIONAL
        added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Datum"))
