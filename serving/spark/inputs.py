"""List of the images of a bulk scoring, with the columns that are passed through."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data.object_store import is_object
from data.storage import absolute
from serving.errors import ServingError

#: Column with the paths, and optional column with the sizes of the files in bytes, which is not
#: passed through.
PATH, SIZE = "path", "source_bytes"


@dataclass(frozen=True)
class Inputs:
    """Images in the order in which they are scored; the same image may occur several times."""

    #: Path of each image as given. A name that is not UTF-8 has escaped bytes.
    names: pa.Array
    #: Absolute path or ``s3://`` address of each image, as it is opened.
    addresses: list[str]
    #: Size of each file in bytes, int64; null if it is unknown.
    sizes: pa.Array
    #: Columns that are passed through, such as ``patient_id`` and ``label``.
    passed: pa.Table

    @classmethod
    def of(cls, images: "Sequence[str | Path] | pa.Table") -> "Inputs":
        """Return the inputs of a list of paths, or of a table with a column ``path``.

        Raises
        ------
        ServingError
            If there are no images, or the table has no paths.
        """
        if isinstance(images, pa.Table):
            if PATH not in images.column_names or images[PATH].null_count:
                raise ServingError("the table of images needs a column path without empty values")
            paths = [str(path) for path in images[PATH].to_pylist()]
            passed = images.drop_columns([n for n in (PATH, SIZE) if n in images.column_names])
        else:
            paths, passed = [str(path) for path in images], None
        if not paths:
            raise ServingError("there are no images to classify")
        addresses = [_address(path) for path in paths]
        if isinstance(images, pa.Table) and SIZE in images.column_names:
            sizes = images[SIZE].cast(pa.int64()).combine_chunks()
        else:
            sizes = pa.array([_size(address) for address in addresses], pa.int64())
        names = pa.array(map(_shown, paths), pa.string())
        rows = pa.table({PATH: names}).select([])
        return cls(names, addresses, sizes, passed if passed is not None else rows)

    def __len__(self) -> int:
        return len(self.addresses)

    def digest(self) -> str:
        """Return the SHA-256 over addresses, sizes and the columns that are passed through."""
        digest = hashlib.sha256()
        for address in self.addresses:
            digest.update(f"{_shown(address)}\0".encode())
        for name in self.passed.column_names:
            digest.update(f"{name}\0".encode())
        for column in (self.sizes, *self.passed.columns):
            for value in column.to_pylist():
                digest.update(f"{value}\0".encode())
        return digest.hexdigest()

    def total_bytes(self) -> int:
        """Return the sum of the known sizes."""
        return pc.sum(self.sizes).as_py() or 0


def _address(path: str) -> str:
    # Most paths are absolute; they need no normalization, which takes longer than a small image.
    return path if path.startswith("/") else absolute(path)


def _size(address: str) -> int | None:
    if not is_object(address):  # a request for each object would take longer than reading it
        with suppress(OSError, ValueError):
            return os.stat(address).st_size  # noqa: PTH116 - called for every image
    return None


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
