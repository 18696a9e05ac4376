"""Figures of the scores of backends: F1, ROC and precision-recall curves, confusion matrices."""

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.drawing import GRID, label
from experiments.comparison.canvas import Style, canvas, legend
from experiments.comparison.findings import Findings, Row
from experiments.scoring.reliability import reliability
from experiments.units import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Largest number of classes whose names fit on horizontal labels.
_FEW = 3
_LONGEST_NAME = 12  # characters


def f1_intervals(findings: Findings, style: Style) -> "Figure":
    """Draw the F1 of each backend with its interval, and its seeds as ticks."""
    rows = list(reversed(findings.rows))
    figure, (axes,) = canvas(height=0.8 + 0.42 * len(rows))
    for place, row in enumerate(rows):
        color = style.color(row.label)
        axes.plot([row.f1.low, row.f1.high], [place, place], color=color, linewidth=2)
        axes.plot(row.f1.value, place, style.marker(row.label), color=color, markersize=8)
        seeds = row.values("test.f1")
        axes.plot(seeds, np.full(len(seeds), place - 0.22), "|", color="k", markersize=7)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    what = f"F1 over unseen {plural(findings.unit)}"
    axes.set(xlabel=f"{what}: mean over seeds, 95 % interval; ticks: individual seeds")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    return figure


def curves(findings: Findings, style: Style) -> "Figure":
    """Draw the ROC and precision-recall curves of each backend, pooled over seeds."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, (roc, recall) = canvas(columns=2, height=3.8)
    for row in findings.rows:
        labels, scores = _scored(row)
        line: dict[str, Any] = {
            "color": style.color(row.label),
            "linestyle": style.line(row.label),
        }
        false, true, _ = roc_curve(labels, scores)
        roc.plot(false, true, label=row.label, **line)
        precision, found, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
        recall.plot(found, precision, **line)
    roc.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC")
    recall.set(xlabel="recall", ylabel="precision", title="precision and recall")
    recall.set_ylim(0, 1.02)
    legend(figure, roc)
    return figure


def reliability_curves(findings: Findings, style: Style) -> "Figure":
    """Draw the share of positive images against the mean probability, pooled over seeds."""
    figure, (axes,) = canvas(height=4.6)
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1)
    for row in findings.rows:
        bins = reliability(*_scored(row))
        axes.plot(
            bins.predicted,
            bins.observed,
            label=row.label,
            color=style.color(row.label),
            linestyle=style.line(row.label),
            marker=style.marker(row.label),
            markersize=5,
        )
    positive = label(findings.rows[0].runs[0].positive_class)
    axes.set(xlabel=f"mean probability of '{positive}'", ylabel=f"share of images of '{positive}'")
    axes.set_aspect("equal")
    axes.grid(color=GRID)
    legend(figure, axes)
    return figure


def confusion_matrices(findings: Findings) -> "Figure":
    """Draw the confusion matrix of each backend, pooled over seeds and normalized by row."""
    names = findings.rows[0].runs[0].class_names
    crowded = len(names) > _FEW
    columns, side = (2, 1.4 + 0.4 * len(names)) if crowded else (3, 2.7)
    figure, axes = canvas(ceil(len(findings.rows) / columns), columns, height=side)
    short = [label(name, _LONGEST_NAME) for name in names]
    for one, row in zip(axes, findings.rows, strict=False):
        shares = _confusion(row, len(names))
        edges = np.arange(len(names) + 1) - 0.5
        one.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1, edgecolors=GRID)
        one.set(ylim=(edges[-1], edges[0]), aspect="equal")
        for place in np.ndindex(shares.shape):
            one.text(
                place[1],
                place[0],
                f"{shares[place]:.0%}" if crowded else f"{shares[place]:.1%}",
                ha="center",
                va="center",
                fontsize=7 if crowded else 10,
                color="#ffffff" if shares[place] > 0.55 else "#1b1f24",
            )
        one.set_xticks(range(len(names)), short, fontsize=8, rotation=90 if crowded else 0)
        one.set_yticks(range(len(names)), short, fontsize=8)
        if not crowded:
            one.tick_params(axis="y", rotation=90)
        one.set_title(row.label, fontsize=9)
        one.set(xlabel="predicted", ylabel="true")
    for one in axes[len(findings.rows) :]:
        one.set_axis_off()
    return figure


def _scored(row: Row) -> tuple[np.ndarray, np.ndarray]:
    run = row.runs[0]
    positive, together = run.positive_class, pd.concat([one.predictions for one in row.runs])
    truth = together["label"].to_numpy() == run.class_names.index(positive)
    return truth, together[f"probability_{positive}"].to_numpy()


def _confusion(row: Row, classes: int) -> np.ndarray:
    from sklearn.metrics import confusion_matrix

    labels = np.concatenate([run.predictions["label"] for run in row.runs])
    predicted = np.concatenate([run.decided for run in row.runs])
    return confusion_matrix(labels, predicted, labels=np.arange(classes), normalize="true")
