"""Images that occur more than once, which leak if they are assigned to two patients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from data.config import Unit
from data.storage import locate

#: Number of examples in a note.
_SHOWN = 2
_FILE, _PIXELS = "source_xxh128", "pixels_sha256"
_COLUMNS = ("path", "patient_id", "class_name", "split", _FILE, _PIXELS)


@dataclass(frozen=True)
class DuplicateSet:
    """Identical images, as rows with ``path``, ``patient_id`` and ``class_name``."""

    #: Rows in the order of their paths; they have the key ``split`` if the source is divided.
    images: tuple[dict[str, Any], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the images."""
        return tuple(image["path"] for image in self.images)

    def differ(self, column: str) -> bool:
        """Return whether the images have more than one value in ``column``."""
        return len({image.get(column) for image in self.images}) > 1

    @property
    def leaks(self) -> bool:
        """True if the images belong to several patients or several sides of the split."""
        return self.differ("patient_id") or self.differ("split")


@dataclass(frozen=True)
class Duplicates:
    """Sets of identical images."""

    #: Sets of files that are identical byte for byte.
    equal_files: tuple[DuplicateSet, ...]
    #: Sets of images whose decoded and resized pixels are equal. Identical files have equal pixels,
    #: so each of ``equal_files`` is included in one of these sets.
    equal_pixels: tuple[DuplicateSet, ...]

    @property
    def in_other_files(self) -> tuple[DuplicateSet, ...]:
        """Sets whose files differ: in another format, or losslessly compressed again."""
        return tuple(found for found in self.equal_pixels if found.differ(_FILE))

    def across(self, column: str) -> tuple[DuplicateSet, ...]:
        """Return the sets with more than one value in ``column``: a patient, split or class."""
        return tuple(found for found in self.equal_pixels if found.differ(column))

    def notes(self, unit: Unit = "patient") -> list[str]:
        """Return notes on the duplicates for the user, one sentence each.

        Parameters
        ----------
        unit
            Unit that ``patient_id`` identifies; it is not mentioned if it is the image.
        """
        several = () if unit == "image" else self.across("patient_id")
        findings = (
            (self.equal_files, "files occur more than once, byte for byte"),
            (self.in_other_files, "images occur more than once in files that differ"),
            (several, f"of them belong to more than one {unit}: a LEAK RISK"),
            (self.across("split"), "of them are on two sides of the split: a LEAK"),
            (self.across("class_name"), "of them are in two classes: one label is wrong"),
        )
        return [f"{len(sets):,} {words} ({_examples(sets)})." for sets, words in findings if sets]


def find_duplicates(uri: str, files: Iterable[str]) -> Duplicates:
    """Return the duplicates among the images of an ingest's Parquet files.

    Digests are compared; pixels are not read.
    """
    filesystem, root = locate(uri)
    paths = [f"{root}/{name}" for name in files]
    # Only digests are read first: most data sets have no duplicates, and names are larger.
    digests = [_read(filesystem, path, [_PIXELS]) for path in paths]
    several = _several(pa.concat_tables(digests))
    rows = [
        _read(filesystem, path, _COLUMNS).filter(pc.is_in(digest.column(_PIXELS), several))
        for path, digest in zip(paths, digests, strict=True)
        if pc.any(pc.is_in(digest.column(_PIXELS), several)).as_py()
    ]
    return duplicates_of(pa.concat_tables(rows)) if rows else Duplicates((), ())


def duplicates_of(table: pa.Table) -> Duplicates:
    """Return the duplicates among the rows of ``table``.

    An image that was compressed with loss a second time has different pixels and is not found.

    Parameters
    ----------
    table
        Columns path, patient_id, class_name, source_xxh128 and pixels_sha256, and split if the
        images are divided. Rows without pixels_sha256 are not images and are ignored.
    """
    columns = [name for name in _COLUMNS if name in table.column_names]
    rows = _repeated(table.select(columns)).sort_by("path").to_pylist()
    return Duplicates(equal_files=_sets(rows, _FILE), equal_pixels=_sets(rows, _PIXELS))


def _read(filesystem: fs.FileSystem, path: str, columns: Iterable[str]) -> pa.Table:
    with filesystem.open_input_file(path) as stream:
        return pq.ParquetFile(stream).read([*columns])


def _several(table: pa.Table) -> pa.Array:
    """Return the pixel digests that occur more than once."""
    counted = pc.value_counts(table.column(_PIXELS).combine_chunks())
    return counted.filter(pc.greater(counted.field("counts"), 1)).field("values")


def _repeated(table: pa.Table) -> pa.Table:
    """Return the rows whose pixels occur more than once, to convert only these to Python."""
    table = table.filter(pc.is_valid(table.column(_PIXELS)))
    return table.filter(pc.is_in(table.column(_PIXELS), _several(table)))


def _sets(rows: Sequence[dict[str, Any]], column: str) -> tuple[DuplicateSet, ...]:
    found: dict[bytes, list[dict[str, Any]]] = {}
    for row in rows:
        if row[column] is not None:  # older data sets lack the value
            found.setdefault(row[column], []).append(row)
    return tuple(DuplicateSet(tuple(images)) for images in found.values() if len(images) > 1)


def _examples(sets: Sequence[DuplicateSet]) -> str:
    shown = [" = ".join(map(repr, found.paths[:2])) for found in sets[:_SHOWN]]
    return f"for example {', '.join(shown)}"
