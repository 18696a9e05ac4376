"""Size, colors and markers shared by all figures of a comparison."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from experiments.colors import COLORS, OTHERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\")
WIDTH = 8.0  # inches
RESOLUTION = 110  # dots per inch, of PNG files


class Style:
    """Color, marker and line style of each backend, the same in every figure.

    The colors are the same in every report, whichever backends it compares; those of the project
    are from seaborn's palette for color-blind readers. Platforms of a backend share its color.
    Markers and dashes distinguish the rows in grayscale.

    Parameters
    ----------
    labels
        Labels of the backends, with the platform in parentheses if there is one.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._places = {label: number for number, label in enumerate(labels)}
        self._others: dict[str, str] = {}
        for label in labels:
            name = _backend_of(label)
            if name not in COLORS and name not in self._others:
                self._others[name] = self._free_color(name)

    def color(self, label: str) -> str:
        """Return the color of a backend as ``#rrggbb``."""
        name = _backend_of(label)
        return COLORS.get(name) or self._others[name]

    def _free_color(self, name: str) -> str:
        """Return the color that the name determines, or the next one if it is taken."""
        first = crc32(name.encode()) % len(OTHERS)
        turns = [OTHERS[(first + turn) % len(OTHERS)] for turn in range(len(OTHERS))]
        taken = self._others.values()
        return next((color for color in turns if color not in taken), turns[0])

    def marker(self, label: str) -> str:
        """Return the marker of a backend."""
        return _MARKERS[self._places[label] % len(_MARKERS)]

    def line(self, label: str) -> str:
        """Return the line style of a backend."""
        return _DASHES[self._places[label] % len(_DASHES)]


def _backend_of(label: str) -> str:
    return label.partition(" (")[0]


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
