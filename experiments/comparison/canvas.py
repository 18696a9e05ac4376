"""What all pictures of a comparison share: size, colours, markers."""

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
    """A colour, a marker and a line for each backend, the same in every picture.

    Seaborn's palette for colour-blind readers; markers and dashes tell them apart in grey.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        import seaborn as sns

        self._places = {label: number for number, label in enumerate(labels)}
        self._palette = sns.color_palette("colorblind", max(len(labels), 1))

    def color(self, label: str) -> Any:
        """Return the colour of a backend."""
        return self._palette[self._places[label]]

    def marker(self, label: str) -> str:
        """Return the marker of a backend."""
        return _MARKERS[self._places[label] % len(_MARKERS)]

    def line(self, label: str) -> str:
        """Return the dashes of a backend."""
        return _DASHES[self._places[label] % len(_DASHES)]


def canvas(rows: int = 1, columns: int = 1, height: float = 3.2) -> "tuple[Figure, list[Axes]]":
    """Return a figure of the report's width and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def legend(figure: "Figure", axes: "Axes") -> None:
    """Put the legend of ``axes`` above the whole figure, where it hides no line."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8
        )


def embedded(content: bytes) -> str:
    """Return PNG as a ``data:`` address for a page that needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
