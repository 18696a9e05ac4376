"""Charts of a survey: image sizes, brightness and color by patient."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.description import Description
from data.drawing import drawing, label
from data.exploration.colour import FarPatient, is_grey
from data.plots import COLORS, cycle, new_figure, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MARKERS = "osD^vP*X"
#: Most patients whose names fit below the chart in the larger and in the smaller font size.
_FEW = 40
_MOST_NAMED = 80
#: Most patients whose quartiles fit side by side.
MOST_SIDE_BY_SIDE = 200
#: Most patients that are named in the color chart.
_NAMED_IN_PICTURE = 8
_WIDTH = 9.6  # inches


@drawing()
def size_histograms(description: Description, table: "pd.DataFrame") -> "Figure":
    """Draw histograms of image width and height, stacked by class."""
    figure = new_figure(description, _WIDTH, 2.8)
    names = [counts.class_name for counts in description.classes]
    for axis, column in zip(figure.subplots(1, 2, sharey=True), ("width", "height"), strict=True):
        values = [table.loc[table["class_name"] == name, column].dropna() for name in names]
        edges = np.histogram_bin_edges(np.concatenate(values), bins=30)
        axis.hist(
            values,
            bins=edges,
            stacked=True,
            color=cycle(COLORS, names),
            label=[label(name) for name in names],
            edgecolor="white",
            linewidth=0.3,
        )
        axis.set_xlabel(f"{column} in pixels")
        plain(axis)
    axis.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("images")
    return figure


@drawing()
def brightness_by_patient(
    description: Description,
    images: "pd.DataFrame",
    patients: "pd.DataFrame",
    far: Sequence[FarPatient],
) -> "Figure":
    """Draw the brightness of each patient's images by class, with the patient's color below.

    If there are more patients than fit side by side, draw one box per class instead.

    Parameters
    ----------
    description
        Provides the class names and the term for a patient.
    images, patients
        As returned by `data.exploration.colour`; patients in the order of drawing.
    far
        Patients to highlight in the chart.
    """
    if len(patients) > MOST_SIDE_BY_SIDE or not description.has_patients:
        return _brightness_boxes(description, images)
    figure = new_figure(description, _WIDTH, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(9, 1))
    places = {patient: place for place, patient in enumerate(patients.index)}
    names = [counts.class_name for counts in description.classes]
    for number, (name, color) in enumerate(zip(names, cycle(COLORS, names), strict=True)):
        grouped = images[images["class_name"] == name].groupby("patient_id")["brightness"]
        quartiles = grouped.quantile([0.25, 0.5, 0.75]).unstack()
        if quartiles.empty:
            continue
        # Marks of several classes of one patient are drawn side by side.
        shift = (number - (len(names) - 1) / 2) * 0.6 / len(names)
        x = np.array([places[patient] + shift for patient in quartiles.index])
        upper.vlines(x, quartiles[0.25], quartiles[0.75], color=color, lw=1, alpha=0.6)
        marker = MARKERS[number % len(MARKERS)]
        upper.scatter(x, quartiles[0.5], s=14, color=color, marker=marker, label=label(name))
    upper.set_ylabel("brightness (0 to 255)")
    upper.legend(frameon=False, fontsize=8, loc="upper left", ncols=min(len(names), 7))
    plain(upper)
    swatches = patients[["red", "green", "blue"]].to_numpy()[None] / 255
    lower.imshow(swatches, aspect="auto", interpolation="nearest")
    lower.set_yticks([])
    lower.spines[:].set_visible(False)
    one = description.unit
    lower.set_xlabel(f"one column for each {one}, darkest first; below: its median color")
    _name_patients(lower, patients, {found.patient_id for found in far})
    return figure


def _brightness_boxes(description: Description, images: "pd.DataFrame") -> "Figure":
    """Draw one box per class, over the medians of its patients or over its images."""
    names = [counts.class_name for counts in description.classes]
    medians = images.groupby(["class_name", "patient_id"])["brightness"].median()
    known = set(medians.index.get_level_values("class_name"))
    figure = new_figure(description, _WIDTH, 1.0 + 0.4 * len(names))
    axis = figure.subplots()
    boxes = axis.boxplot(
        [medians[name].to_numpy() if name in known else [] for name in names],
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 3},
        medianprops={"color": "black"},
    )
    for box, color in zip(boxes["boxes"], cycle(COLORS, names), strict=True):
        box.set(facecolor=color, alpha=0.6)
    axis.set_yticks(range(1, len(names) + 1), [label(name) for name in names])
    axis.invert_yaxis()
    of = f", medians of {description.group_word}" if description.has_patients else " of the images"
    axis.set_xlabel(f"brightness (0 to 255){of}")
    plain(axis)
    return figure


@drawing()
def colour_by_patient(
    description: Description,
    images: "pd.DataFrame",
    patients: "pd.DataFrame",
    far: Sequence[FarPatient],
) -> "Figure | None":
    """Draw the red share against the blue share of each patient; return None for gray images."""
    if is_grey(images):
        return None
    figure = new_figure(description, 6.4, 4.4)
    axis = figure.subplots()
    names = [counts.class_name for counts in description.classes]
    commonest = images.groupby("patient_id")["class_name"].agg(lambda found: found.mode().iloc[0])
    styles = [*enumerate(zip(names, cycle(COLORS, names), strict=True))]
    common = commonest.value_counts()
    # Rare classes are drawn last, so that they are on top of the others.
    for number, (name, edge) in sorted(styles, key=lambda style: -common.get(style[1][0], 0)):
        chosen = patients[commonest.reindex(patients.index) == name]
        axis.scatter(
            chosen["red_share"],
            chosen["blue_share"],
            s=34 if len(patients) <= MOST_SIDE_BY_SIDE else 10,
            marker=MARKERS[number % len(MARKERS)],
            color=(chosen[["red", "green", "blue"]] / 255).to_numpy(),
            edgecolors=edge,
            linewidths=1.2 if len(patients) <= MOST_SIDE_BY_SIDE else 0.6,
            label=label(name),
        )
    named = {one.patient_id for one in far if one.figure != "brightness"}
    for patient in [name for name in patients.index if name in named][:_NAMED_IN_PICTURE]:
        row = patients.loc[patient]
        axis.annotate(
            label(str(patient)),
            (row["red_share"], row["blue_share"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axis.set_xlabel("red / (red + green + blue), median")
    axis.set_ylabel("blue / (red + green + blue), median")
    axis.legend(handles=[*_outlines(names)], frameon=False, fontsize=8)
    plain(axis)
    return figure


def _outlines(names: Sequence[str]) -> "Iterator[Line2D]":
    """Yield the unfilled legend marker of each class."""
    from matplotlib.lines import Line2D

    for number, (name, edge) in enumerate(zip(names, cycle(COLORS, names), strict=True)):
        marker = MARKERS[number % len(MARKERS)]
        yield Line2D([], [], ls="", marker=marker, mfc="white", mec=edge, label=label(name))


def _name_patients(axis: "Axes", patients: "pd.DataFrame", far: Collection[str]) -> None:
    """Label the columns with all names that fit, else those of outliers; outliers are red."""
    all_fit = len(patients) <= _MOST_NAMED
    named = [
        (place, str(name)) for place, name in enumerate(patients.index) if all_fit or name in far
    ]
    axis.set_xticks([place for place, _ in named], [label(name) for _, name in named])
    axis.tick_params(axis="x", rotation=90, labelsize=8 if len(patients) <= _FEW else 6)
    for text, (_, name) in zip(axis.get_xticklabels(), named, strict=True):
        if name in far:
            text.set(color="#B00000", fontweight="bold")
