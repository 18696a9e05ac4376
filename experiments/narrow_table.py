"""Tables that fit a terminal of 80 columns, however long the names of backends are."""

import re
from collections.abc import Mapping, Sequence

from rich.table import Table

#: Columns of a table for any terminal.
WIDTH = 80


def add_rows(
    table: Table,
    names: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    width: int = WIDTH,
    least: int = 1,
) -> Table:
    """Add a row for each backend; names take the space that figures leave.

    Parameters
    ----------
    table
        Without columns, with a padding of one space at the right of each.
    names
        Of the backends.
    columns
        Cells by heading, as long as ``names``. The last columns are left out where the names would
        have too little space, but never the first ``least``.
    width
        Columns of the terminal.
    """
    kept = dict(columns)
    parts = [part for name in names for part in folded(name, 1).split("\n")]
    needed = max(map(len, parts), default=0)
    while (space := _space(kept, width)) < needed and len(kept) > least:
        kept.popitem()
    table.add_column("backend", overflow="fold")
    for heading in kept:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, cells in zip(names, zip(*kept.values(), strict=True), strict=True):
        table.add_row(folded(name, space), *cells)
    return table


def folded(name: str, longest: int) -> str:
    """Return ``name`` in lines of at most ``longest`` characters, divided at its own marks."""
    lines = [""]
    for part in re.findall(r"[^_\-.: ]*[_\-.: ]?", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > longest:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _space(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Return the characters that ``columns`` leave for the names of backends."""
    taken = sum(max(map(len, [heading, *cells])) for heading, cells in columns.items())
    # Each column, that of the names included, has one space at its right and one before the next.
    return width - taken - 2 * (len(columns) + 1) - 1
