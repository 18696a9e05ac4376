"""Files that a data set leaves out: one row for each, by kind, and the sentence with their counts.

Every file below a source has one row, in the images or here. A folder that is not entered has one
row, with a slash at its end, for all that lies in it. Rows of tables without a file are here too.
Only files of the kind ``unreadable`` count for the share at which an ingest stops: the other kinds
are known from names and tables, and many downloads hold them by design.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from data.schema import (
    FORMAT,
    HIDDEN,
    NO_IMAGE,
    REJECT_SCHEMA,
    SET_ASIDE,
    UNREADABLE,
    UNUSED,
)

#: One and several of each kind, in the order in which they are told.
_WORDS = {
    UNREADABLE: ("image that cannot be read", "images that cannot be read"),
    FORMAT: ("image of a format that is not read", "images of formats that are not read"),
    UNUSED: ("file or row that cannot be used", "files or rows that cannot be used"),
    SET_ASIDE: ("image that was set aside", "images that were set aside"),
    NO_IMAGE: ("file that is no image", "files that are no images"),
    HIDDEN: ("hidden file or folder", "hidden files or folders"),
}
#: Kinds of what could have been an image of the set.
LOST = (UNREADABLE, FORMAT, UNUSED)


def table_of(rows: Iterable[tuple[str, str, str]]) -> pa.Table:
    """Return paths, reasons and kinds as a table of ``REJECT_SCHEMA``."""
    columns = [*zip(*rows, strict=True)] or [()] * len(REJECT_SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], REJECT_SCHEMA)


def with_kinds(table: pa.Table) -> pa.Table:
    """Return a table that an earlier version wrote, without kinds, as one of ``REJECT_SCHEMA``."""
    if "kind" in table.column_names:
        return table
    return table.append_column("kind", pa.array([UNUSED] * table.num_rows)).cast(REJECT_SCHEMA)


def of_kinds(table: pa.Table, kinds: Iterable[str]) -> pa.Table:
    """Return the rows of some kinds."""
    return table.filter(pc.is_in(table.column("kind"), pa.array(kinds, pa.string())))


def count_kinds(table: pa.Table) -> dict[str, int]:
    """Return how many rows each kind has that occurs."""
    counted = Counter(table.column("kind").to_pylist())
    return {kind: counted[kind] for kind in _WORDS if counted[kind]}


def in_words(counts: Mapping[str, int]) -> str:
    """Return the sentence that counts what is left out; empty where nothing is."""
    parts = [f"{number:,} {_WORDS[kind][number != 1]}" for kind, number in counts.items() if number]
    return f"left out: {', '.join(parts)}" if parts else ""
