"""Scores of a validation on a terminal, beside those of the test patients."""

import math
from collections.abc import Mapping

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from data.names import visible
from experiments.scoring.uncertainty import Interval
from experiments.units import counted, plural
from models.card import ModelCard
from serving.find import FoundModel
from sparkdl_bench.external_validation.scoring import Validation

#: Metrics that are shown, with their names for the reader.
_SCORES = {
    "f1": "F1",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
}


def show(console: Console, validation: Validation, model: FoundModel) -> None:
    """Print the scores, the confusion matrix, the notes and, first, the warnings."""
    card, unit = validation.results.card, validation.results.images.unit
    images = counted(len(validation.predictions), "image")
    of = "" if unit == "image" else f" of {counted(validation.units, unit)}"
    console.print()
    title = card.name if model.version is None else f"{model.name} version {model.version}"
    console.print(f"external validation of {visible(title)}: {images}{of}", soft_wrap=True)
    for text in validation.warnings:
        console.print(f"WARNING: {text}", soft_wrap=True)
    console.print()
    for table in (_score_table(validation, card), _confusion_table(validation, card)):
        console.print(table)
        console.print()
    for text in validation.notes:
        console.print(f"note: {text}", soft_wrap=True)


def _score_table(validation: Validation, card: ModelCard) -> Table:
    unit = validation.results.images.unit
    tested = card.data.unit
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("with 95 % interval")
    table.add_column(f"these {plural(unit)}", justify="right", no_wrap=True)
    table.add_column(f"test {plural(tested)}", justify="right", no_wrap=True)
    for metric, name in _SCORES.items():
        known = card.scores.get(metric)
        before = "-" if known is None else _interval(known.value, known.low, known.high)
        table.add_row(name, _from_scores(validation.scores, metric), before)
    if (value := validation.scores.get("patient.f1")) is not None:
        table.add_row(f"F1 by {unit}", f"{value:.3f}", "")
    return table


def _from_scores(scores: Mapping[str, float], metric: str) -> str:
    if metric not in scores:
        return "-"
    return _interval(scores[metric], scores.get(f"{metric}_low"), scores.get(f"{metric}_high"))


def _interval(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.3f}"
    found = Interval(value, low, high)
    return str(found) if math.isfinite(low + high) else f"{value:.3f}"


def _confusion_table(validation: Validation, card: ModelCard) -> Table:
    names = [*map(visible, card.class_names)]
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (validation.predictions["label"].to_numpy(), validation.predicted), 1)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("true class")
    for name in names:
        table.add_column(f"as {name}", justify="right")
    for name, row in zip(names, counts.tolist(), strict=True):
        table.add_row(name, *(f"{number:,}" for number in row))
    return table
