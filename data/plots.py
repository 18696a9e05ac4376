"""Figures for a description: counts by class, images per patient, sample images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.description import Description
from data.drawing import drawing, label, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's palette, whose colors are distinguishable with any color vision. Its yellow is
#: omitted, because it is invisible on paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
#: Used in addition to the color, so that bars are distinguishable in black-and-white prints.
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
DOTS_PER_INCH = 150


@drawing()
def class_bars(description: Description) -> "Figure":
    """Plot the numbers of images, photographs (if known) and patients of each class."""
    group = description.group_word
    counted = {"images": [counts.images for counts in description.classes]}
    if description.total.photographs is not None:
        counted = {
            "cells": counted["images"],
            "photographs": [counts.photographs or 0 for counts in description.classes],
        }
    if description.has_patients:
        counted[group] = [counts.patients for counts in description.classes]
    names = [counts.class_name for counts in description.classes]
    figure = new_figure(description, 3.2 * len(counted), 3.4)
    axes = figure.subplots(1, len(counted), squeeze=False)[0]
    for axis, (what, values) in zip(axes, counted.items(), strict=True):
        places = range(len(names))
        bars = axis.bar(places, values, color=cycle(COLORS, names), edgecolor="black")
        for bar, hatch in zip(bars, cycle(HATCHES, names), strict=True):
            bar.set_hatch(hatch)
        axis.bar_label(bars, [f"{value:,}" for value in values], padding=2, fontsize=8)
        axis.set_xticks(places, [label(name) for name in names])
        axis.set_title(f"{what} per class")
        axis.margins(y=0.12)
        axis.yaxis.get_major_locator().set_params(integer=True)
        if len(names) > 3:
            axis.tick_params(axis="x", rotation=45)
        plain(axis)
    return figure


@drawing()
def images_per_patient(description: Description) -> "Figure":
    """Plot a histogram of the number of images per patient for each class."""
    one = description.unit
    classes = description.classes
    most = max(counts.most for counts in classes)
    edges = np.histogram_bin_edges([1, most], bins=min(most, 30)) if most > 30 else None
    if edges is None:
        edges = np.arange(0.5, most + 1)
    height = 1.5 if len(classes) <= 3 else 1.0
    figure = new_figure(description, 6.4, 1.0 + height * len(classes))
    axes = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    for axis, counts, color in zip(axes, classes, cycle(COLORS, classes), strict=True):
        axis.hist(counts.images_per_patient, bins=edges, color=color, edgecolor="white")
        axis.set_title(
            f"{label(counts.class_name)}: {counts.patients:,} {description.group_word}, "
            f"median {counts.median:g} images per {one}",
            fontsize=9,
            loc="left",
        )
        axis.set_ylabel(description.group_word)
        axis.yaxis.get_major_locator().set_params(integer=True)
        plain(axis)
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    axes[-1].set_xlabel(f"images per {one} in the class")
    return figure


@drawing()
def sample_sheet(description: Description, samples: Mapping[str, Sequence[np.ndarray]]) -> "Figure":
    """Plot the images of `data.describe.sample_images`, one row for each class."""
    columns = max(1, *(len(images) for images in samples.values()))
    figure = new_figure(description, 1.2 * columns + 0.6, 1.35 * len(samples) + 0.5)
    grid = figure.subplots(len(samples), columns, squeeze=False)
    for row, (name, images) in zip(grid, samples.items(), strict=True):
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(label(name))
    return figure


def save_plots(
    description: Description, samples: Mapping[str, Sequence[np.ndarray]], folder: str | Path
) -> list[Path]:
    """Write all figures as PNG files to ``folder`` and return their paths."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    figures = {"classes.png": class_bars(description)}
    if description.has_patients:
        figures["images_per_patient.png"] = images_per_patient(description)
    figures["samples.png"] = sample_sheet(description, samples)
    for name, figure in figures.items():
        (target / name).write_bytes(png(figure, DOTS_PER_INCH))
    return [target / name for name in figures]


def new_figure(description: Description, width: float, height: float) -> "Figure":
    """Return an empty figure of the given size in inches, labeled if the images are synthetic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if description.synthetic:
        figure.suptitle("SYNTHETIC images: no patient, no real cell", color="#B00000", fontsize=10)
    return figure


def plain(axis: "Axes") -> None:
    """Hide the top and right spines of ``axis``."""
    axis.spines[["top", "right"]].set_visible(False)


def cycle(values: Sequence[str], names: Sequence[object]) -> list[str]:
    """Return one of ``values`` for each of ``names``, repeating ``values`` cyclically."""
    return [values[place % len(values)] for place in range(len(names))]
