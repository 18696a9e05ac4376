"""Curves of a scaling study, with the ideal line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.drawing import drawing, png
from experiments.comparison.canvas import RESOLUTION, Style, canvas, legend
from experiments.scaling.results import Scaling

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@drawing()
def draw_scaling(scaling: Scaling, folder: Path) -> list[Path]:
    """Write ``workers.png`` and ``images.png`` if there are runs for them; return their paths."""
    labels = sorted({*scaling.workers["backend"], *scaling.images["backend"]})
    style, written = Style(labels), []
    if len(scaling.workers):
        figure, axes = canvas(columns=3)
        for one, column, title in zip(
            axes,
            ("speed_up", "efficiency", "core_seconds"),
            ("speed-up of fit", "efficiency", "core-seconds per run"),
            strict=True,
        ):
            _lines(one, scaling.workers, "workers", column, style)
            one.set(xlabel="workers", ylabel=title)
            one.set_xticks(sorted(scaling.workers["workers"].unique()))
        most = scaling.workers["workers"].max()
        axes[0].plot([1, most], [1, most], color="0.7", linewidth=1, zorder=0)
        axes[0].annotate("ideal", (most, most), ha="right", va="bottom", color="0.5", fontsize=8)
        axes[1].axhline(1, color="0.7", linewidth=1, zorder=0)
        legend(figure, axes[0])
        written.append(folder / "workers.png")
        written[-1].write_bytes(png(figure, RESOLUTION))
    if len(scaling.images):
        figure, axes = canvas(columns=2)
        _lines(axes[0], scaling.images, "images", "total_s", style)
        _lines(axes[1], scaling.images, "images", "f1", style)
        axes[0].set(xlabel="training images", ylabel="seconds per run", yscale="log")
        axes[1].set(xlabel="training images", ylabel="F1")
        for one in axes:
            one.set_xscale("log")
            _plain_ticks(one, sorted(scaling.images["images"].unique()))
        legend(figure, axes[0])
        written.append(folder / "images.png")
        written[-1].write_bytes(png(figure, RESOLUTION))
    return written


def _plain_ticks(axes: "Axes", sizes: Sequence[int]) -> None:
    """Label the logarithmic x axis at the sizes that were run, and both axes in plain numbers."""
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(StrMethodFormatter("{x:,g}"))


def _lines(axes: "Axes", table: "pd.DataFrame", x: str, y: str, style: Style) -> None:
    for name, rows in table.groupby("backend", sort=False):
        line = rows.sort_values(x)
        axes.plot(
            line[x],
            line[y],
            label=name,
            color=style.color(str(name)),
            linestyle=style.line(str(name)),
            marker=style.marker(str(name)),
            markersize=4,
        )
    axes.grid(color="0.93")
