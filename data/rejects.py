"""Files that a data set leaves out: one row for each, with its kind, and a summary of the counts.

Every file below a source has one row, either among the images or here. A folder that is not entered
has one row, with a trailing slash, for its whole content. Rows of tables without a file are
included too. Only files of the kind ``unreadable`` count toward the fraction at which an ingest
stops: the other kinds are known from names and tables, and many downloads contain them by design.
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

#: Singular and plural of each kind, in the order in which they are listed.
_WORDS = {
    UNREADABLE: ("image that cannot be read", "images that cannot be read"),
    FORMAT: ("image of an unsupported format", "images of unsupported formats"),
    UNUSED: ("file or row that cannot be used", "files or rows that cannot be used"),
    SET_ASIDE: ("image that was set aside", "images that were set aside"),
    NO_IMAGE: ("file that is not an image", "files that are not images"),
    HIDDEN: ("hidden file or folder", "hidden files or folders"),
}
#: Kinds that could have been images of the set.
LOST = (UNREADABLE, FORMAT, UNUSED)


def table_of(rows: Iterable[tuple[str, str, str]]) -> pa.Table:
    """Return paths, reasons and kinds as a table of ``REJECT_SCHEMA``."""
    columns = [*zip(*rows, strict=True)] or [()] * len(REJECT_SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], REJECT_SCHEMA)


def with_kinds(table: pa.Table) -> pa.Table:
    """Convert a table of an earlier version, which may lack kinds, to ``REJECT_SCHEMA``."""
    if "kind" in table.column_names:
        return table
    return table.append_column("kind", pa.array([UNUSED] * table.num_rows)).cast(REJECT_SCHEMA)


def of_kinds(table: pa.Table, kinds: Iterable[str]) -> pa.Table:
    """Return the rows of the given kinds."""
    return table.filter(pc.is_in(table.column("kind"), pa.array(kinds, pa.string())))


def count_kinds(table: pa.Table) -> dict[str, int]:
    """Return the number of rows of each kind that occurs."""
    counted = Counter(table.column("kind").to_pylist())
    return {kind: counted[kind] for kind in _WORDS if counted[kind]}


def in_words(counts: Mapping[str, int]) -> str:
    """Return a text with the number of rows of each kind that was left out; empty if none was."""
    parts = [f"{number:,} {_WORDS[kind][number != 1]}" for kind, number in counts.items() if number]
    return f"left out: {', '.join(parts)}" if parts else ""
