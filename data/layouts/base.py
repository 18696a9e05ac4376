"""What every layout gets (a listing of names) and gives (an index of images)."""

import sys
from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from data.any_table import TABLE_SUFFIXES, WORKBOOK_SUFFIXES, workbook
from data.config import DataConfig, LayoutName, Unit
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
from data.names import one_spelling
from data.object_listing import objects_below
from data.object_store import is_object
from data.rejects import table_of
from data.schema import HIDDEN, INDEX_SCHEMA, NOTICE, SET_ASIDE, UNUSED
from data.storage import locate, read_bytes
from data.synthetic import NOTICE_FILE
from data.values import values_of
from data.walk import files_below

_NO_TEXT = "its name is no UTF-8 text: rename it"
_NO_FILE = "is no regular file, or a link to nowhere"
FILE_SCHEMA = pa.schema([("path", pa.string()), ("source_bytes", pa.int64())])

_Reasons = tuple[tuple[str, str], ...]

#: Columns of an index that a layout gives, in the order in which they are collected.
_GIVEN = ("image_id", "path", "class_name", "patient_id", "fold")


@dataclass(frozen=True)
class Listing:
    """The names of all files below a folder; no file is opened to make it."""

    #: The folder: an absolute path, or a URI as it was given.
    uri: str
    filesystem: fs.FileSystem
    #: The folder's path on ``filesystem``.
    root: str
    #: Paths below the folder, sorted, without those that are left out.
    files: tuple[str, ...]
    #: Bytes of each of ``files``, in their order: int64.
    sizes: np.ndarray = field(repr=False)
    #: Names of what is there and cannot be taken for a file, each with the reason.
    unusable: tuple[tuple[str, str], ...] = ()
    #: Hidden files, and folders that were not entered (with a slash at their end), with the reason.
    left_out: tuple[tuple[str, str], ...] = ()
    #: The one file that was named as the source, if it was not a folder.
    table: str | None = None

    @cached_property
    def images(self) -> list[str]:
        """The files that are images by their suffix, in any case, and the DICOM files."""
        if not self.dicom or not is_available():
            return [*filter(is_image, self.files)]
        return [path for path in self.files if is_image(path) or path in self.dicom]

    @cached_property
    def dicom(self) -> frozenset[str]:
        """The DICOM files by their suffix, and on this machine those that have none by content."""
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

        The first bytes of a file without an ending are looked at on this machine; in an object
        store each would be a request.
        """
        if not has_ending(path.rpartition("/")[2]) and isinstance(
            self.filesystem, fs.LocalFileSystem
        ):
            found = left_out_by_content(self._first_bytes(path))
            if found is not None and path.rpartition("/")[2].lower() != "dicomdir":
                return found
        return left_out_by_name(path)

    def tables(self) -> list[str]:
        """The CSV files."""
        return [path for path in self.files if path.lower().endswith(".csv")]

    def read_rows(self, path: str, columns: Collection[str], delimiter: str = ",") -> list[Row]:
        """Return the rows of a table below the folder, as `data.delimited` reads them.

        Raises
        ------
        DataError
            When it is damaged or lacks one of ``columns``.
        """
        content = read_bytes(self.filesystem, f"{self.root}/{path}")
        return read_rows(content, f"{self.uri}/{path}", columns, delimiter)


@dataclass(frozen=True)
class Index:
    """The images of a source with their classes and patients, before any pixel is decoded."""

    #: Columns of `data.schema.INDEX_SCHEMA`, sorted by image_id.
    table: pa.Table
    #: Columns of `data.schema.REJECT_SCHEMA`.
    rejects: pa.Table
    layout: str
    #: The folder that the column ``path`` starts from: an absolute path or a URI.
    root: str
    #: Facts that a reader of a result should know, one sentence each.
    notes: tuple[str, ...] = ()
    #: Columns ``path`` and ``source_bytes`` of every file below ``root``, images or not.
    files: pa.Table = field(default_factory=FILE_SCHEMA.empty_table, repr=False)
    #: What a group is: what the column ``group`` names.
    unit: Unit = "patient"
    #: What the source was taken to be and how to say otherwise: two or three lines for the
    #: terminal; empty where the layout leaves no choice.
    reading: tuple[str, ...] = ()

    @cached_property
    def holds_dicom(self) -> bool:
        """Whether an image may be a DICOM file: one without the ending of another format."""
        return not all(is_image(path) for path in values_of(self.table.column("path")))

    def bytes_of(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the bytes of the files at ``paths``, null where there is none below ``root``."""
        found = pc.index_in(paths, value_set=self.files.column("path"))
        return self.files.column("source_bytes").take(found)


class Layout(Protocol):
    """A way in which publishers and users lay out classes and patients in folders."""

    @property
    def name(self) -> LayoutName:
        """The layout's name in configurations."""

    @property
    def expects(self) -> str:
        """What a folder must hold, for people."""

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Tell whether the names look like this layout."""

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Return the index; raise DataError when the folder contradicts the layout."""


class IndexBuilder:
    """Collects images and rejects; the first image of a name is taken, a second is rejected.

    Columns, not rows: a million images are a hundred megabytes that way, and a gigabyte as
    dictionaries.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[str]] = {name: [] for name in _GIVEN}
        self._places: dict[str, int] = {}
        self._rejects: list[tuple[str, str]] = []

    def add(
        self, path: str, *, image_id: str, class_name: str, patient_id: str, fold: str = ""
    ) -> None:
        """Take an image; names of classes, patients and folds get their one spelling.

        A class or a patient without a visible name is a reject.
        """
        names = tuple(map(_name, (class_name, patient_id, fold)))
        if not all(names[:2]):
            self.reject(path, f"has no name for its {'patient' if names[0] else 'class'}")
            return
        place = self._places.setdefault(image_id, len(self._places))
        if place < len(self._columns["path"]):
            self.reject(path, f"has the same image name as {self._columns['path'][place]}")
            return
        for column, value in zip(self._columns.values(), (image_id, path, *names), strict=True):
            column.append(value)

    def reject(self, path: str, reason: str) -> None:
        """Leave out a file or a row of a table."""
        self._rejects.append((path, reason))

    def refuse_mixed_patients(self, advice: str) -> None:
        """Raise DataError when a patient stands in two classes, with ``advice`` on the cause."""
        classes: dict[str, str] = {}
        columns = (self._columns[column] for column in ("patient_id", "class_name", "path"))
        for patient, name, path in zip(*columns, strict=True):
            if classes.setdefault(patient, name) != name:
                raise DataError(
                    f"patient {patient} stands in the classes '{classes[patient]}' and '{name}' "
                    f"(for example {path}): {advice}"
                )

    def finish(
        self,
        layout: LayoutName,
        listing: Listing,
        notes: Iterable[str] = (),
        *,
        unit: Unit = "patient",
        reading: Iterable[str] = (),
        tables: Collection[str] = (),
    ) -> Index:
        """Return the index; raise DataError when not one image was taken.

        ``tables`` are the files that the layout has read, which are not counted as left out.
        """
        notes = tuple(notes)
        if not self._places:
            rejected = (*self._rejects, *listing.unusable)[:3]
            reasons = [f"{path}: {reason}" for path, reason in rejected]
            raise DataError(
                f"{listing.uri}: no image can be used with the layout '{layout}'; "
                + "; ".join([*reasons, *notes])
            )
        taken = {*self._columns["path"]}
        again = [path for path, _ in self._rejects if path in taken]
        if again:
            notes += (
                "Rows of tables that name a file again, or without what they must say of it: "
                f"{len(again):,} (for example {again[0]!r}); the file was taken by another row.",
            )
        return Index(
            self._table(),
            table_of([*self._unused(listing), *self._beside(layout, listing, tables)]),
            layout,
            listing.uri,
            notes,
            pa.table([pa.array(listing.files, pa.string()), listing.sizes], FILE_SCHEMA),
            unit,
            tuple(reading),
        )

    def _unused(self, listing: Listing) -> Iterator[tuple[str, str, str]]:
        """Yield what a layout has rejected, each path once and none that was taken too.

        Rows of a table that name no path are many.
        """
        seen = {*self._columns["path"]}
        for path, reason in (*self._rejects, *listing.unusable):
            if path in seen:
                continue
            if path:
                seen.add(path)
            yield path, reason, UNUSED

    def _beside(
        self, layout: LayoutName, listing: Listing, tables: Collection[str]
    ) -> Iterator[tuple[str, str, str]]:
        """Yield the files that no layout has looked at, and those that are left out."""
        known = {*self._columns["path"], *(path for path, _ in self._rejects)}
        for path in listing.files:
            if path in known:
                continue
            if is_image(path) or (path in listing.dicom and is_available()):
                yield path, f"is not used by the layout '{layout}'", SET_ASIDE
            elif path.rpartition("/")[2] == NOTICE_FILE:
                yield path, "says that the images are synthetic", NOTICE
            elif path in tables:
                yield path, "is the table that describes the images", NOTICE
            else:
                kind, reason = listing.why_no_image(path)
                yield path, reason, kind
        for path, reason in listing.left_out:
            if path not in known:  # a table may name a hidden file
                yield path, reason, HIDDEN

    def _table(self) -> pa.Table:
        columns = {name: pa.array(values, pa.string()) for name, values in self._columns.items()}
        columns["group"] = columns["patient_id"]
        table = pa.table([columns[name] for name in INDEX_SCHEMA.names], INDEX_SCHEMA)
        return table.sort_by("image_id").combine_chunks()


def list_source(uri: str) -> Listing:
    """List all files below ``uri``, or below the folder of the table that it names.

    Raises
    ------
    DataError
        When there is nothing at ``uri`` or nothing that can be listed.
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
    """Return usable names with their bytes, unusable names, and what is left out."""
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


@lru_cache(maxsize=4096)
def _name(name: str) -> str:
    # The same few names occur again and again, each time as another object.
    return sys.intern(one_spelling(name))


def stem(path: str) -> str:
    """Return the file name without folder and last suffix, as ``PurePosixPath.stem`` does.

    A number is no suffix: names of DICOM files are unique identifiers of numbers and dots.
    """
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 and not name[dot + 1 :].isdigit() else name


def suffix(path: str) -> str:
    """Return the last suffix in small letters with its dot, or an empty string."""
    return PurePosixPath(path).suffix.lower()


def without_suffix(path: str) -> str:
    """Return the path without its last suffix."""
    if "//" in path or "./" in path:
        path = str(PurePosixPath(path))
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{stem(name)}"
