"""Images that are there more than once: a leak where they lie with two patients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from data.storage import locate

#: Examples in a note.
_SHOWN = 2
_COLUMNS = ("path", "patient_id", "class_name", "split", "source_sha256", "pixels_sha256")


@dataclass(frozen=True)
class Duplicates:
    """Sets of images that show the same, each with the paths in order."""

    #: Of files that are equal byte for byte.
    equal_files: tuple[tuple[str, ...], ...]
    #: Of other files whose pixels are equal once they are decoded and resized: the same picture
    #: in another format or under another compression without loss.
    equal_pixels: tuple[tuple[str, ...], ...]
    #: Sets of either kind with images of more than one patient.
    across_patients: tuple[tuple[str, ...], ...]
    #: Sets of either kind on more than one side of the split: training has seen what is tested.
    across_splits: tuple[tuple[str, ...], ...]
    #: Sets of either kind in more than one class.
    across_classes: tuple[tuple[str, ...], ...]

    def notes(self) -> list[str]:
        """Return what a reader of a result should know, one sentence each."""
        told = (
            (self.equal_files, "files are there more than once, byte for byte"),
            (self.equal_pixels, "pictures are there more than once in files that differ"),
            (self.across_patients, "of them lie with more than one patient"),
            (self.across_splits, "of them stand on two sides of the split: a leak"),
            (self.across_classes, "of them stand in two classes: one label is wrong"),
        )
        return [f"{len(sets):,} {words} ({_examples(sets)})." for sets, words in told if sets]


def find_duplicates(uri: str, files: Iterable[str]) -> Duplicates:
    """Return the duplicates among the images of an ingest's Parquet files; no pixel is read.

    A picture that was compressed with loss a second time has other pixels and is not found.
    """
    filesystem, root = locate(uri)
    paths = [f"{root}/{name}" for name in files]
    # Digests alone at first: most data sets have no duplicates, and names are larger.
    digests = [_read(filesystem, path, ["pixels_sha256"]) for path in paths]
    repeated = _repeated(pa.concat_tables(digests).column("pixels_sha256"))
    rows: list[dict] = []
    for path, digest in zip(paths, digests, strict=True):
        found = pc.is_in(digest.column("pixels_sha256"), repeated)
        if pc.any(found).as_py():
            rows += _read(filesystem, path, _COLUMNS).filter(found).to_pylist()
    rows.sort(key=lambda row: row["path"])
    by_file, by_pixels = _sets(rows, "source_sha256"), _sets(rows, "pixels_sha256")
    every = [found for found in by_pixels if len(found) > 1]  # equal files have equal pixels
    return Duplicates(
        equal_files=_paths(found for found in by_file if len(found) > 1),
        equal_pixels=_paths(found for found in every if _differ(found, "source_sha256")),
        across_patients=_paths(found for found in every if _differ(found, "patient_id")),
        across_splits=_paths(found for found in every if _differ(found, "split")),
        across_classes=_paths(found for found in every if _differ(found, "class_name")),
    )


def _read(filesystem: fs.FileSystem, path: str, columns: Sequence[str]) -> pa.Table:
    with filesystem.open_input_file(path) as stream:
        return pq.ParquetFile(stream).read([*columns])


def _repeated(digests: pa.ChunkedArray) -> pa.Array:
    """Return the digests that occur more than once."""
    counted = pc.value_counts(digests.combine_chunks())
    return counted.filter(pc.greater(counted.field("counts"), 1)).field("values")


def _sets(rows: Sequence[dict], column: str) -> list[list[dict]]:
    found: dict[bytes, list[dict]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return [*found.values()]


def _differ(rows: Sequence[dict], column: str) -> bool:
    return len({row[column] for row in rows}) > 1


def _paths(sets: Iterable[Sequence[dict]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row["path"] for row in rows) for rows in sets)


def _examples(sets: Sequence[Sequence[str]]) -> str:
    shown = [" = ".join(repr(path) for path in paths[:2]) for paths in sets[:_SHOWN]]
    return f"for example {', '.join(shown)}"
