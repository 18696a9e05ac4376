"""Notes on patients and classes whose names may be spelling variants, for the user to check."""

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from data.config import Unit
from data.names import likeness

#: Format in which spreadsheets write numbers of twelve or more digits.
_ROUNDED = re.compile(r"\d([.,]\d+)?e\+\d+", re.IGNORECASE)
#: Maximum number of sets of names in a note.
_SHOWN = 3
#: Maximum number of names of one set in a note.
_SHOWN_OF_ONE = 4


def notes_on_spelling(table: pa.Table, unit: Unit = "patient") -> list[str]:
    """Return notes on names of patients and classes that may be ambiguous.

    Parameters
    ----------
    table
        Columns ``patient_id`` and ``class_name``.
    unit
        Unit that ``patient_id`` identifies; it is not checked if it is the image.

    Returns
    -------
    list of str
        At most one note of each kind: patients, and classes, whose names differ only in case,
        separators or the format of numbers; patients whose numbers were rounded by a spreadsheet.
    """
    columns, notes = [("patient_id", f"{unit}s"), ("class_name", "classes")], []
    if unit == "image":
        columns = columns[1:]
    else:
        notes = _on_rounded(pc.unique(table.column("patient_id")).to_pylist())
    for column, what in columns:
        alike = _alike(pc.unique(table.column(column)).to_pylist())
        if alike:
            names = sum(map(len, alike))
            notes.append(
                f"{names:,} {what} have names that differ only in case, separators or the format "
                f"of numbers and count as {names:,} different ones: {_examples(alike)}. If they "
                "are the same, write them in the same way."
            )
    return notes


def _on_rounded(patients: Iterable[str]) -> list[str]:
    rounded = sorted(filter(_ROUNDED.fullmatch, patients))
    if not rounded:
        return []
    return [
        f"{len(rounded):,} patients have numbers as names that a spreadsheet has rounded "
        f"(for example {rounded[0]!r}): several patients may count as one. Export the column as "
        "text."
    ]


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Return the sets of names with equal `likeness`, sorted."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(likeness(name), []).append(name)
    return sorted(sorted(found) for found in by_key.values() if len(found) > 1)


def _examples(alike: list[list[str]]) -> str:
    listed = "; ".join(_listed(names) for names in alike[:_SHOWN])
    more = len(alike) - _SHOWN
    return f"{listed} and {more:,} more such sets" if more > 0 else listed


def _listed(names: list[str]) -> str:
    shown = [*map(repr, names[:_SHOWN_OF_ONE])]
    more = len(names) - _SHOWN_OF_ONE
    if more > 0:
        return f"{', '.join(shown)} and {more:,} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
