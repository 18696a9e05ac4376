"""Listing of all files below a source, without opening them."""

from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyarrow import fs

from data.any_table import TABLE_SUFFIXES, WORKBOOK_SUFFIXES, workbook
from data.delimited import Row, read_rows
from data.dicom import is_available
from data.errors import DataError
from data.formats import (
    FIRST_BYTES,
    has_ending,
    is_dicom,
    is_dicom_name,
    is_image,
    left_out_by_content,
    left_out_by_name,
    may_be_dicom,
)
from data.left_out import left_out_folder, why_left_out
from data.object_listing import objects_below
from data.object_store import is_object
from data.storage import locate, read_bytes
from data.walk import files_below

_NO_TEXT = "its name is no UTF-8 text: rename it"
_NO_FILE = "is no regular file, or a link to nowhere"

_Reasons = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Listing:
    """Names and sizes of all files below a folder."""

    #: The folder: an absolute path, or a URI as given.
    uri: str
    filesystem: fs.FileSystem
    #: The folder's path on ``filesystem``.
    root: str
    #: Paths below the folder, sorted, without those that are left out.
    files: tuple[str, ...]
    #: Sizes of ``files`` in bytes, in the same order; int64, shape (files,).
    sizes: np.ndarray = field(repr=False)
    #: Entries that cannot be used as files, each with the reason.
    unusable: tuple[tuple[str, str], ...] = ()
    #: Hidden files and folders that were not entered (with a trailing slash), with the reason.
    left_out: tuple[tuple[str, str], ...] = ()
    #: Name of the table, if the source is a table and not a folder.
    table: str | None = None

    @cached_property
    def images(self) -> list[str]:
        """Files with the suffix of an image, in any case, and DICOM files."""
        if not self.dicom or not is_available():
            return [*filter(is_image, self.files)]
        return [path for path in self.files if is_image(path) or path in self.dicom]

    @cached_property
    def dicom(self) -> frozenset[str]:
        """DICOM files by suffix; on a local disk, also files without a suffix by content."""
        found = {path for path in self.files if is_dicom_name(path)}
        if isinstance(self.filesystem, fs.LocalFileSystem):
            unclear = filter(may_be_dicom, self.files)
            found.update(path for path in unclear if is_dicom(self._first_bytes(path)))
        return frozenset(found)

    def _first_bytes(self, path: str) -> bytes:
        with suppress(OSError), open(f"{self.root}/{path}", "rb") as stream:  # noqa: PTH123
            return stream.read(FIRST_BYTES)
        return b""

    def why_no_image(self, path: str) -> tuple[str, str]:
        """Return the kind of reject and the reason for a file that is not among ``images``.

        The first bytes of a file without a suffix are read only on a local disk; in an object
        store this would take one request per file.
        """
        if not has_ending(path.rpartition("/")[2]) and isinstance(
            self.filesystem, fs.LocalFileSystem
        ):
            found = left_out_by_content(self._first_bytes(path))
            if found is not None and path.rpartition("/")[2].lower() != "dicomdir":
                return found
        return left_out_by_name(path)

    def tables(self) -> list[str]:
        """Return the CSV files."""
        return [path for path in self.files if path.lower().endswith(".csv")]

    def read_rows(self, path: str, columns: Collection[str], delimiter: str = ",") -> list[Row]:
        """Return the rows of a table below the folder, as `data.delimited` reads them.

        Raises
        ------
        DataError
            If it is damaged or lacks one of ``columns``.
        """
        content = read_bytes(self.filesystem, f"{self.root}/{path}")
        return read_rows(content, f"{self.uri}/{path}", columns, delimiter)


def list_source(uri: str) -> Listing:
    """List all files below ``uri``, or below its folder if ``uri`` is a table.

    Raises
    ------
    DataError
        If ``uri`` does not exist, cannot be listed, or is a file other than a table.
    """
    try:
        filesystem, root = locate(uri)
        source = filesystem.get_file_info(root)
        table = None
        if source.type == fs.FileType.NotFound:
            raise DataError(f"{uri}: there is no such folder")
        if source.type == fs.FileType.File:
            if root.lower().endswith(WORKBOOK_SUFFIXES):
                raise DataError(workbook(uri))
            if not root.lower().endswith(TABLE_SUFFIXES):
                raise DataError(f"{uri} is a file; give a folder with images or a table (CSV, TSV)")
            root, _, table = root.rpartition("/")
        found = _sorted_files(_files_below(filesystem, root))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{uri} cannot be listed: {error}") from None
    folder = root
    if is_object(uri):
        folder = uri.rstrip("/").removesuffix(f"/{table}")
    return Listing(folder, filesystem, root, *found, table)


def _files_below(filesystem: fs.FileSystem, root: str) -> Iterator[tuple[str, int | None]]:
    if isinstance(filesystem, fs.LocalFileSystem):
        return files_below(root)
    return objects_below(filesystem, root)


def _sorted_files(
    found: Iterable[tuple[str, int | None]],
) -> tuple[tuple[str, ...], np.ndarray, _Reasons, _Reasons]:
    """Return usable names with their sizes, unusable names, and entries that are left out."""
    names: list[str] = []
    sizes = array("q")
    unusable, left_out = [], {}
    for name, size in found:
        folder = left_out_folder(name)
        path = name if folder is None else folder
        reason = why_left_out(path)
        if reason is not None:
            left_out[_shown(path)] = reason
        elif not _is_text(name):
            unusable.append((_shown(name), _NO_TEXT))
        elif size is None:
            unusable.append((name, _NO_FILE))
        else:
            names.append(name)
            sizes.append(size)
    order = sorted(range(len(names)), key=names.__getitem__)
    known = np.frombuffer(sizes, np.int64) if names else np.empty(0, np.int64)
    return (
        tuple(names[place] for place in order),
        known[order],
        tuple(sorted(unusable)),
        tuple(sorted(left_out.items())),
    )


def _is_text(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
