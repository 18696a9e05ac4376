"""Scores of a validation set, computed by the code that scores the test patients of a run."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from data.chunks import row_digest
from data.config import DataConfig
from data.inputs import inputs_digest
from data.layouts import Index
from data.synthetic_mark import shows_synthetic
from experiments.scoring.balanced_accuracy import balanced_accuracy_interval
from experiments.scoring.metrics import score
from experiments.units import names_of_units
from serving.predict.results import Results, column_of
from sparkdl_bench.external_validation.examination import Examination

#: Name of the set of images in notes and in the names of metrics.
EXTERNAL = "external"


@dataclass(frozen=True)
class Validation:
    """Scores of a model on images of another source."""

    results: Results
    #: One row for each scored image: ``image_id``, ``path``, ``patient_id``, ``group``, ``label``
    #: (index of the class) and ``probability_<class>``.
    predictions: pd.DataFrame = field(repr=False)
    #: Label of each row of ``predictions`` at the decision threshold, shape (n,).
    predicted: np.ndarray = field(repr=False)
    #: Metric -> value, named as by `experiments.scoring.metrics.score`.
    scores: dict[str, float]
    #: Reasons why the scores are too high, and notes for their interpretation; one sentence each.
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    #: SHA-256 over names, labels, patients and pixels of all rows, as that of a prepared data set;
    #: empty if the pixels were not seen.
    fingerprint: str
    #: SHA-256 over names, labels, patients and sizes of the files.
    inputs_digest: str
    synthetic: bool

    @property
    def units(self) -> int:
        """Number of patients, lesions or distinct images."""
        return int(names_of_units(self.predictions, self.results.images.unit).nunique())

    def to_json(self) -> dict[str, Any]:
        """Return the scores and what limits them, in the types of JSON."""
        return {
            "external_validation": {
                "images": len(self.predictions),
                "unit": self.results.images.unit,
                "units": self.units,
                "scores": self.scores,
                "warnings": list(self.warnings),
                "notes": list(self.notes),
                "fingerprint": self.fingerprint,
            }
        }

    @property
    def index(self) -> Index:
        """Index of the images."""
        index = self.results.images.index
        assert index is not None
        return index


def validate(results: Results, examination: Examination) -> Validation:
    """Score ``results``, whose images have known classes.

    Parameters
    ----------
    results
        Results for labeled images; at least one was scored.
    examination
        Examination of the same images.
    """
    card, images = results.card, results.images
    predictions = _predictions(results, examination)
    threshold = card.threshold.value
    found = score(
        predictions,
        card.class_names,
        card.positive_class,
        unit=images.unit,
        evaluation_split=EXTERNAL,
        threshold=threshold,
    )
    labels = predictions["label"].to_numpy()
    units = names_of_units(predictions, images.unit).to_numpy()
    ends = balanced_accuracy_interval(labels, results.decisions, units, len(card.class_names))
    scores = dict(found.values)
    for name, value in zip(("low", "high"), ends, strict=True):
        if math.isfinite(value):
            scores[f"balanced_accuracy_{name}"] = value
    paths, patients = images.paths, images.table.column("patient_id").to_pylist()
    assert images.index is not None
    return Validation(
        results,
        predictions,
        results.decisions,
        scores,
        tuple(examination.warnings(paths, patients, images.unit)),
        (*images.notes, *examination.duplicates(paths), *found.notes),
        _fingerprint(predictions, card.class_names, examination),
        inputs_digest(images.index, DataConfig()),
        shows_synthetic(images.index),
    )


def _predictions(results: Results, examination: Examination) -> pd.DataFrame:
    names, rows = results.card.class_names, results.scored
    images = results.images.table.take(rows.tolist())
    identities = images.column("image_id").to_pylist()
    columns: dict[str, object] = {"image_id": identities, "path": images.column("path").to_pylist()}
    patients = images.column("patient_id").to_pylist()
    # As in a prepared data set: without patients, each image stands for itself, and equal images
    # are one group.
    columns["patient_id"] = [p or i for p, i in zip(patients, identities, strict=True)]
    first: dict[bytes | str, str] = {}
    digests = [examination.digests.get(row) for row in rows.tolist()]
    groups = [first.setdefault(d or i, i) for d, i in zip(digests, identities, strict=True)]
    columns["group"] = groups if results.images.unit == "image" else columns["patient_id"]
    labels = [names.index(name) for name in images.column("class_name").to_pylist()]
    columns["label"] = np.array(labels, np.int32)
    for place, name in enumerate(names):
        columns[column_of(name)] = results.probabilities[rows, place]
    columns["pixels_sha256"] = digests
    return pd.DataFrame(columns)


def _fingerprint(
    predictions: pd.DataFrame, class_names: Sequence[str], examination: Examination
) -> str:
    if not examination.digests:
        return ""
    digest = hashlib.sha256()
    columns = ["image_id", "label", "patient_id", "pixels_sha256"]
    for row in predictions[columns].to_dict("records"):
        digest.update(row_digest({**row, "class_name": class_names[row["label"]]}))
    return digest.hexdigest()
