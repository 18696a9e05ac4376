"""Figures of a single run, readable in print and in grayscale."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.drawing import drawing, label, png
from experiments.scoring.reliability import Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RESOLUTION = 150  # dots per inch
#: Inches per class, for the count and the share in a cell.
_CLASS_SIDE = 0.6
#: Largest number of classes with horizontal labels, and the maximum length of a label.
_FEW, _LONGEST_NAME = 3, 12
#: Blue and orange of M. Okabe and K. Ito, "Color Universal Design", 2008.
_BLUE, _ORANGE = "#0072B2", "#E69F00"


@drawing()
def confusion_matrix(
    labels: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    title: str,
    stamp: str,
    path: Path,
) -> None:
    """Draw the confusion matrix with counts and shares of each true class.

    Parameters
    ----------
    labels, predicted
        True and predicted labels, integers of shape (n,).
    class_names
        Classes in label order.
    title
        Title of the figure.
    stamp
        Text below the figure; none if empty.
    path
        PNG file to write.
    """
    counts = np.zeros((len(class_names), len(class_names)), int)
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    crowded = len(class_names) > _FEW
    side = 1.2 + _CLASS_SIDE * len(class_names) if crowded else 3.8
    figure = _figure(side + 0.4, side)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{shares[row, column]:.0%}",
            ha="center",
            va="center",
            fontsize=7 if crowded else 10,
            color="white" if shares[row, column] > 0.55 else "black",
        )
    names = [label(name, _LONGEST_NAME) for name in class_names]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    if crowded:
        axes.tick_params(axis="x", rotation=90)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    _save(figure, stamp, path)


@drawing()
def learning_curve(epochs: Sequence[dict[str, Any]], title: str, stamp: str, path: Path) -> None:
    """Draw training and validation loss by epoch.

    Parameters
    ----------
    epochs
        Values ``number``, ``loss`` and ``validation_loss`` of each epoch; losses may be None.
    title
        Title of the figure.
    stamp
        Text below the figure; none if empty.
    path
        PNG file to write.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(5.0, 3.4)
    axes = figure.add_subplot()
    for key, name, color, style in (
        ("loss", "training", _BLUE, "o-"),
        ("validation_loss", "validation", _ORANGE, "s--"),
    ):
        points = [(e["number"], e[key]) for e in epochs if e[key] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=color, label=name)
    if axes.lines:
        axes.legend(frameon=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.text(0.5, 0.5, "no training loss", ha="center", transform=axes.transAxes)
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, stamp, path)


@drawing()
def reliability_curve(
    bins: Reliability, positive_class: str, title: str, stamp: str, path: Path
) -> None:
    """Draw the share of positive images against their mean probability, and the size of the bins.

    Parameters
    ----------
    bins
        Bins of the images.
    positive_class
        Name of the positive class.
    title
        Title of the figure.
    stamp
        Text below the figure; none if empty.
    path
        PNG file to write.
    """
    figure = _figure(4.2, 4.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.plot(bins.predicted, bins.observed, "o-", color=_BLUE)
    name = label(positive_class)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=title)
    axes.set(xlabel=f"mean probability of '{name}'", ylabel=f"share of images of '{name}'")
    axes.set_aspect("equal")
    parts = bins.brier_components()
    few, many = bins.images.min(), bins.images.max()
    size = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    lines = [f"{part} {value:.4f}" for part, value in parts.items()]
    axes.text(0.98, 0.03, "\n".join([*lines, f"{size} images in a group"]), ha="right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, stamp, path)


def _figure(width: float, height: float) -> "Figure":
    """Return a figure that is independent of pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: "Figure", stamp: str, path: Path) -> None:
    if stamp:
        figure.supxlabel(stamp.upper(), fontsize=7, color="0.35")
    path.write_bytes(png(figure, _RESOLUTION))
