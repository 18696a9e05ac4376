"""Images to classify: the files that the paths of a command name, with patients and classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data.config import Unit
from data.layouts import Index
from data.names import visible

#: Columns of `Images.table`.
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string()),
        pa.field("class_name", pa.string()),
    ]
)


@dataclass(frozen=True)
class Reject:
    """File that is not classified."""

    path: str
    #: One line.
    reason: str


@dataclass(frozen=True)
class Images:
    """Images to classify.

    Attributes
    ----------
    table
        Columns of `SCHEMA`: path as the user would write it, name, patient (null if unknown) and
        true class (null if unknown).
    rejects
        Files that look like images, or were named, and cannot be classified.
    left_out
        Number of other files in words, or empty.
    reading
        How a folder or a table was interpreted, one line each.
    unit
        Unit that ``patient_id`` identifies; ``image`` if no patient is known.
    index
        Index of the labeled source; None if the classes are unknown.
    notes
        Notes on the labels, one sentence each.
    """

    table: pa.Table
    rejects: tuple[Reject, ...] = ()
    left_out: str = ""
    reading: tuple[str, ...] = ()
    unit: Unit = "image"
    index: Index | None = None
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """Paths of the images."""
        paths: list[str] = self.table.column("path").to_pylist()
        return paths

    @property
    def is_labeled(self) -> bool:
        """True if the true classes are known."""
        return self.index is not None


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows with the keys of `SCHEMA` as a table."""
    return pa.Table.from_pylist([*rows], SCHEMA)


def is_text(path: str) -> bool:
    """Return whether the name of a file is UTF-8, as results are written."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str) -> str:
    """Return a path in one line of printable text."""
    return visible(path.encode("utf-8", "backslashreplace").decode())
