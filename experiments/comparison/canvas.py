"""Size, colors and markers shared by all figures of a comparison."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\")
WIDTH = 8.0  # inches
RESOLUTION = 110  # dots per inch


class Style:
    """Color, marker and line style of each backend, the same in every figure.

    The colors are those of seaborn's palette for color-blind readers. Markers and dashes
    distinguish the backends in grayscale.

    Parameters
    ----------
    labels
        Labels of the backends.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        import seaborn as sns

        self._places = {label: number for number, label in enumerate(labels)}
        self._palette = sns.color_palette("colorblind", max(len(labels), 1))

    def color(self, label: str) -> Any:
        """Return the color of a backend."""
        return self._palette[self._places[label]]

    def marker(self, label: str) -> str:
        """Return the marker of a backend."""
        return _MARKERS[self._places[label] % len(_MARKERS)]

    def line(self, label: str) -> str:
        """Return the line style of a backend."""
        return _DASHES[self._places[label] % len(_DASHES)]


def canvas(rows: int = 1, columns: int = 1, height: float = 3.2) -> "tuple[Figure, list[Axes]]":
    """Return a figure of the report's width and its axes, row by row.

    Parameters
    ----------
    rows, columns
        Shape of the grid of axes.
    height
        Height of a row in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(figure: "Figure", axes: "Axes") -> None:
    """Place the legend of ``axes`` above the figure, where it covers no line."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8
        )


def embedded(content: bytes) -> str:
    """Return a PNG image as a ``data:`` URL, so that a page needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
