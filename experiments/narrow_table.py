"""Tables that fit a terminal of 80 columns, whatever the length of the backend names."""

import re
from collections.abc import Mapping, Sequence

from rich.table import Table

#: Default width of a table in characters.
WIDTH = 80


def add_rows(
    table: Table,
    names: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    width: int = WIDTH,
    least: int = 1,
) -> Table:
    """Add a row for each backend; the names use the space not taken by the figures.

    Parameters
    ----------
    table
        Table without columns, whose cells have a padding of one space on the right.
    names
        Names of the backends.
    columns
        Cells by heading; each sequence has the length of ``names``. The last columns are omitted
        if the names would otherwise not fit.
    width
        Width of the terminal in characters.
    least
        Number of columns that are always kept.

    Returns
    -------
    Table
        The given ``table``.
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
    """Return ``name`` in lines of at most ``longest`` characters, split at its punctuation."""
    lines = [""]
    for part in re.findall(r"[^_\-.: ]*[_\-.: ]?", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > longest:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _space(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Return the number of characters left for the names of backends next to ``columns``."""
    taken = sum(max(map(len, [heading, *cells])) for heading, cells in columns.items())
    # Each column, including that of the names, is followed by a padding and a separating space.
    return width - taken - 2 * (len(columns) + 1) - 1
