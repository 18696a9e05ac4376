"""The part of a bulk scoring that runs in Spark's executors: read, classify and write one part."""

import hashlib
import os
import stat
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from data.config import ImageConfig
from data.errors import DataError
from data.images import UnreadableImage, decode
from data.object_store import is_object
from data.storage import exists, locate, read_bytes
from models.card import ModelCard
from serving.errors import InputError
from serving.spark.outcomes import classify_each
from serving.spark.shipped import ShippedClassifier

#: Concurrent requests of one executor to an object store, which mostly wait.
_REQUESTS = 8
#: Contents of objects that are kept in memory in advance.
_AHEAD = 16
#: Part of the message for an object that this user may not read.
_DENIED = "ACCESS_DENIED"


@dataclass(frozen=True)
class Part:
    """Images of one part of the result."""

    #: Folder or URI of the parts.
    folder: str
    #: Name of the file within ``folder``.
    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class PartResult:
    """Result of writing a part, returned to the driver."""

    name: str
    #: Reason why the part could not be written. This is a value rather than an exception because
    #: Spark would print a traceback for each task.
    failure: str | None = None
    #: Reason why the images could not be requested from their object store.
    outage: str | None = None


class _StoreOutage(Exception):  # noqa: N818 - the state of another system
    """Exception for an object store that does not answer."""


def part_name(number: int, addresses: Sequence[str], request: str) -> str:
    """Return a file name that is unique to the images and the request they belong to."""
    digest = hashlib.sha256(request.encode())
    for address in addresses:
        digest.update(f"{address}\0".encode("utf-8", "surrogatepass"))
    return f"chunk-{number:05d}-{digest.hexdigest()[:12]}.parquet"


def part_schema(card: ModelCard) -> pa.Schema:
    """Return the schema of a part: one row for each image, in the order of its addresses."""
    probabilities = [(f"probability_{name}", pa.float64()) for name in card.class_names]
    return pa.schema(
        [
            ("class", pa.string()),
            ("decision", pa.string()),
            *probabilities,
            ("error", pa.string()),
        ]
    )


def write_part(part: Part, model: ShippedClassifier) -> PartResult:
    """Classify the images of ``part`` and write its file atomically, unless it exists."""
    filesystem, root = locate(part.folder)
    path = f"{root}/{part.name}"
    try:
        if not _is_complete(filesystem, path, len(part.addresses)):
            content = pa.BufferOutputStream()
            pq.write_table(score_images(part.addresses, model), content)
            _write(filesystem, path, content.getvalue())
    except _StoreOutage as outage:
        return PartResult(part.name, outage=str(outage))
    except OSError as error:  # errors of single images have already become text
        return PartResult(part.name, failure=str(error))
    return PartResult(part.name)


def score_images(addresses: Sequence[str], model: ShippedClassifier) -> pa.Table:
    """Return the results for the images at ``addresses``, with the columns of `part_schema`."""
    classifier = model.open()
    card = classifier.card
    found = classify_each(classifier, _reads(addresses), lambda read: _decoded(read(), card.image))
    names = pa.array([*card.class_names], pa.string())
    known = [error is None for error in found.errors]
    columns: list[Any] = [_named(names, found.classes), _named(names, found.decisions)]
    for values in found.probabilities.T:
        columns.append(pa.array(values.astype(np.float64), mask=~np.array(known, bool)))
    columns.append(pa.array(found.errors, pa.string()))
    return pa.table(columns, part_schema(card))


def _reads(addresses: Sequence[str]) -> Iterator[Callable[[], bytes]]:
    """Yield a function for each file that returns its content or raises InputError.

    Objects of a store are requested in advance.
    """
    if not any(map(is_object, addresses)):
        yield from (partial(_content, address) for address in addresses)
        return
    with ThreadPoolExecutor(_REQUESTS) as pool:
        waiting: deque[Future[bytes]] = deque()
        for address in addresses:
            waiting.append(pool.submit(_content, address))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result


def _content(address: str) -> bytes:
    try:
        if is_object(address):
            return _object(address)
        if not stat.S_ISREG(os.stat(address).st_mode):  # noqa: PTH116 - called for every image
            raise InputError("is not a regular file")  # reading it might not end
        with open(address, "rb") as file:  # noqa: PTH123
            return file.read()
    except (OSError, ValueError, DataError) as error:
        raise InputError(_unread(error)) from None


def _object(address: str) -> bytes:
    try:
        return read_bytes(*locate(address))
    except FileNotFoundError:
        raise
    except OSError as error:
        if _DENIED in str(error):
            raise
        # As the error of one image, it would remain in the result after the store is back.
        raise _StoreOutage(f"{address} {_unread(error)}") from None


def _unread(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read: {text.splitlines()[0]}"


def _decoded(content: bytes, image: ImageConfig) -> np.ndarray:
    try:
        return decode(content, image.height, image.width, image.color)
    except UnreadableImage as error:
        raise InputError(error.reason) from None


def _named(names: pa.Array, indices: np.ndarray) -> pa.Array:
    return names.take(pa.array(indices, mask=indices < 0))


def _is_complete(filesystem: fs.FileSystem, path: str, rows: int) -> bool:
    if not exists(filesystem, path):
        return False
    with filesystem.open_input_file(path) as stream:
        try:
            return bool(pq.read_metadata(stream).num_rows == rows)
        except (OSError, pa.ArrowInvalid):
            return False


def _write(filesystem: fs.FileSystem, path: str, content: pa.Buffer) -> None:
    """Write a file that appears under its name only when it is complete.

    The temporary name is unique, because the executors of a killed call may still be writing.
    """
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    target = f"{path}.unfinished-{uuid.uuid4().hex}" if is_local else path
    try:
        with filesystem.open_output_stream(target) as stream:
            stream.write(content)
        if is_local:
            filesystem.move(target, path)
    except OSError:
        if is_local:
            with suppress(OSError):
                filesystem.delete_file(target)
        raise
