"""Images that are there more than once: a leak where they lie with two patients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from data.config import Unit
from data.storage import locate

#: Examples in a note.
_SHOWN = 2
_FILE, _PIXELS = "source_xxh128", "pixels_sha256"
_COLUMNS = ("path", "patient_id", "class_name", "split", _FILE, _PIXELS)


@dataclass(frozen=True)
class DuplicateSet:
    """Images that show the same, as rows with ``path``, ``patient_id`` and ``class_name``."""

    #: In the order of their paths; ``split`` is there where the source is divided.
    images: tuple[dict[str, Any], ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the images lie."""
        return tuple(image["path"] for image in self.images)

    def differ(self, column: str) -> bool:
        """Tell whether two of the images have another value in ``column``."""
        return len({image.get(column) for image in self.images}) > 1

    @property
    def leaks(self) -> bool:
        """Whether training can see what is tested: another patient's image, or another side's."""
        return self.differ("patient_id") or self.differ("split")


@dataclass(frozen=True)
class Duplicates:
    """Sets of images that show the same."""

    #: Of files that are equal byte for byte.
    equal_files: tuple[DuplicateSet, ...]
    #: Of images whose pixels are equal once they are decoded and resized; equal files have equal
    #: pixels, so each of them stands in one of these sets too.
    equal_pixels: tuple[DuplicateSet, ...]

    @property
    def in_other_files(self) -> tuple[DuplicateSet, ...]:
        """Sets with files that differ: another format, or compressed anew without loss."""
        return tuple(found for found in self.equal_pixels if found.differ(_FILE))

    def across(self, column: str) -> tuple[DuplicateSet, ...]:
        """Return the sets with more than one patient, split or class, whichever is asked for."""
        return tuple(found for found in self.equal_pixels if found.differ(column))

    def notes(self, unit: Unit = "patient") -> list[str]:
        """Return what a reader of a result should know, one sentence each.

        Parameters
        ----------
        unit
            What ``patient_id`` names; nothing is said of it where it is the image.
        """
        several = () if unit == "image" else self.across("patient_id")
        told = (
            (self.equal_files, "files are there more than once, byte for byte"),
            (self.in_other_files, "pictures are there more than once in files that differ"),
            (several, f"of them lie with more than one {unit}: a LEAK RISK"),
            (self.across("split"), "of them stand on two sides of the split: a LEAK"),
            (self.across("class_name"), "of them stand in two classes: one label is wrong"),
        )
        return [f"{len(sets):,} {words} ({_examples(sets)})." for sets, words in told if sets]


def find_duplicates(uri: str, files: Iterable[str]) -> Duplicates:
    """Return the duplicates among the images of an ingest's Parquet files; no pixel is read."""
    filesystem, root = locate(uri)
    paths = [f"{root}/{name}" for name in files]
    # Digests alone at first: most data sets have no duplicates, and names are larger.
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

    A picture that was compressed with loss a second time has other pixels and is not found.

    Parameters
    ----------
    table
        Columns path, patient_id, class_name, source_xxh128 and pixels_sha256, and split where
        the images are divided. Rows without pixels_sha256 are no images and are left out.
    """
    columns = [name for name in _COLUMNS if name in table.column_names]
    rows = _repeated(table.select(columns)).sort_by("path").to_pylist()
    return Duplicates(equal_files=_sets(rows, _FILE), equal_pixels=_sets(rows, _PIXELS))


def _read(filesystem: fs.FileSystem, path: str, columns: Iterable[str]) -> pa.Table:
    with filesystem.open_input_file(path) as stream:
        return pq.ParquetFile(stream).read([*columns])


def _several(table: pa.Table) -> pa.Array:
    """Return the digests of pixels that occur more than once."""
    counted = pc.value_counts(table.column(_PIXELS).combine_chunks())
    return counted.filter(pc.greater(counted.field("counts"), 1)).field("values")


def _repeated(table: pa.Table) -> pa.Table:
    """Return the rows whose pixels occur more than once: few, where Python objects are dear."""
    table = table.filter(pc.is_valid(table.column(_PIXELS)))
    return table.filter(pc.is_in(table.column(_PIXELS), _several(table)))


def _sets(rows: Sequence[dict[str, Any]], column: str) -> tuple[DuplicateSet, ...]:
    found: dict[bytes, list[dict[str, Any]]] = {}
    for row in rows:
        if row[column] is not None:  # an older data set does not tell it
            found.setdefault(row[column], []).append(row)
    return tuple(DuplicateSet(tuple(images)) for images in found.values() if len(images) > 1)


def _examples(sets: Sequence[DuplicateSet]) -> str:
    shown = [" = ".join(map(repr, found.paths[:2])) for found in sets[:_SHOWN]]
    return f"for example {', '.join(shown)}"
