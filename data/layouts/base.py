"""The index of images that every layout builds from a listing of file names."""

import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from data.config import DataConfig, LayoutName, Unit
from data.datum import split_address
from data.dicom import is_available
from data.errors import DataError
from data.formats import (
    is_image,
)
from data.layouts.listing import Listing
from data.names import one_spelling
from data.rejects import table_of
from data.schema import HIDDEN, INDEX_SCHEMA, NOTICE, SET_ASIDE, UNUSED
from data.synthetic import NOTICE_FILE
from data.values import values_of

FILE_SCHEMA = pa.schema([("path", pa.string()), ("source_bytes", pa.int64())])

#: Columns of an index that a layout fills, in the order in which they are collected.
_GIVEN = ("image_id", "path", "class_name", "patient_id", "fold")


@dataclass(frozen=True)
class Index:
    """The images of a source with their classes and patients, before any pixel is decoded."""

    #: Columns of `data.schema.INDEX_SCHEMA`, sorted by image_id.
    table: pa.Table
    #: Columns of `data.schema.REJECT_SCHEMA`.
    rejects: pa.Table
    layout: str
    #: The folder that ``path`` is relative to: an absolute path or a URI.
    root: str
    #: Remarks for the reader of a result, one sentence each.
    notes: tuple[str, ...] = ()
    #: Columns ``path`` and ``source_bytes`` of every file below ``root``, images or not.
    files: pa.Table = field(default_factory=FILE_SCHEMA.empty_table, repr=False)
    #: Unit that the values of the column ``group`` identify.
    unit: Unit = "patient"
    #: How the source was interpreted, and the options that change it: two or three lines for the
    #: terminal; empty if the layout leaves no choice.
    reading: tuple[str, ...] = ()

    @cached_property
    def holds_dicom(self) -> bool:
        """True if images may be DICOM files: files without the suffix of another format."""
        return not all(
            is_image(path) or split_address(path) for path in values_of(self.table.column("path"))
        )

    def bytes_of(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the sizes in bytes (int64) of the files at ``paths``; null if not in ``root``."""
        found = pc.index_in(paths, value_set=self.files.column("path"))
        return self.files.column("source_bytes").take(found)


class Layout(Protocol):
    """A convention for arranging classes and patients in folders."""

    @property
    def name(self) -> LayoutName:
        """Name of the layout in configurations."""

    @property
    def expects(self) -> str:
        """Description of what a folder must contain, for messages."""

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether the file names match this layout."""

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Return the index; raise DataError if the folder contradicts the layout."""


class IndexBuilder:
    """Collects images and rejects; a second image of the same name is rejected.

    Images are stored in columns rather than as rows: a million images take a hundred megabytes
    that way, and a gigabyte as dictionaries.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[str]] = {name: [] for name in _GIVEN}
        self._places: dict[str, int] = {}
        self._rejects: list[tuple[str, str]] = []

    def add(
        self, path: str, *, image_id: str, class_name: str, patient_id: str, fold: str = ""
    ) -> None:
        """Add an image; the spelling of class, patient and fold names is normalized.

        An image whose class or patient has no visible name becomes a reject.
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
        """Record a file or a table row that is not used.

        Reasons are part of the digest of a data set's inputs (`data.inputs.inputs_digest`): with a
        reworded one, a data set that is already prepared appears changed.
        """
        self._rejects.append((path, reason))

    def rejected(self) -> tuple[tuple[str, str], ...]:
        """Return path and reason of each reject so far."""
        return tuple(self._rejects)

    def refuse_mixed_patients(self, advice: str) -> None:
        """Raise DataError if a patient occurs in two classes, with ``advice`` on the cause."""
        classes: dict[str, str] = {}
        columns = (self._columns[column] for column in ("patient_id", "class_name", "path"))
        for patient, name, path in zip(*columns, strict=True):
            if classes.setdefault(patient, name) != name:
                raise DataError(
                    f"patient {patient} occurs in the classes '{classes[patient]}' and '{name}' "
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
        """Return the index; raise DataError if no image was added.

        ``tables`` are the files that the layout has read; they are not counted as left out.
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
                "Incomplete table rows, or rows that name a file a second time: "
                f"{len(again):,} (for example {again[0]!r}); another row describes the file.",
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
        """Yield the rejects of the layout, each path once and without the images in use.

        Table rows that name no path share the empty path and are all reported.
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
        """Yield the files that the layout did not process, and those that are left out."""
        known = {*self._columns["path"], *(path for path, _ in self._rejects)}
        for path in listing.files:
            if path in known:
                continue
            if is_image(path) or (path in listing.dicom and is_available()):
                yield path, f"is not used by the layout '{layout}'", SET_ASIDE
            elif path.rpartition("/")[2] == NOTICE_FILE:
                yield path, "is the notice that the images are synthetic", NOTICE
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


@lru_cache(maxsize=4096)
def _name(name: str) -> str:
    # A few names occur many times, each time as a different string object.
    return sys.intern(one_spelling(name))
