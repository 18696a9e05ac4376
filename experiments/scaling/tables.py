"""Means of a scaling study as tables for a terminal; the CSV files contain all columns."""

import pandas as pd
from rich import box
from rich.table import Table

from experiments.narrow_table import WIDTH, add_rows

#: Headings and formats of the columns; the last columns are omitted first in a narrow terminal.
_COLUMNS = {
    "workers": ("workers", "{:.0f}"),
    "images": ("images", "{:,.0f}"),
    "fit_s": ("fit s", "{:.1f}"),
    "total_s": ("total s", "{:.1f}"),
    "f1": ("F1", "{:.3f}"),
    "speed_up": ("speed-up", "{:.2f}"),
    "efficiency": ("efficiency", "{:.2f}"),
    "core_seconds": ("core-s", "{:.0f}"),
    "images_per_s": ("images/s", "{:,.0f}"),
}


def terminal(means: pd.DataFrame, size: str, width: int = WIDTH) -> Table:
    """Return ``means`` as a table with one row per backend and size.

    Parameters
    ----------
    means
        ``workers`` or ``images`` of :class:`~experiments.scaling.results.Scaling`.
    size
        ``workers`` or ``images``.
    width
        Width of the terminal in characters.
    """
    table = Table(
        title=f"By {size}: means over seeds",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    columns = {
        heading: ["-" if pd.isna(value) else form.format(value) for value in means[name]]
        for name, (heading, form) in _COLUMNS.items()
        if name in means
    }
    return add_rows(table, means["backend"].tolist(), columns, width, least=2)
