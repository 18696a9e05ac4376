"""Patients, lesions or single images that every trained backend misclassifies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from data.config import Unit
from experiments.comparison.findings import Findings
from experiments.comparison.runs import ComparedRun
from experiments.units import names_of_units

#: Maximum number of cases in a report, by unit of the split.
_CASES: dict[Unit, int] = {"patient": 8, "lesion": 12, "image": 24}
#: Maximum number of pictures of a case.
_PICTURES = 6


@dataclass(frozen=True)
class Wrong:
    """An image that every run misclassifies."""

    image_id: str
    png: bytes
    true_class: str
    #: Class to which most runs assign it.
    predicted_class: str
    #: Mean probability of ``predicted_class`` over all runs.
    probability: float
    #: Mean probability of ``true_class`` over all runs.
    true_probability: float

    @property
    def caption(self) -> str:
        """Classes and probabilities in words."""
        return (
            f"true: {self.true_class} ({self.true_probability:.2f}); predicted: "
            f"{self.predicted_class} ({self.probability:.2f})"
        )


@dataclass(frozen=True)
class HardCase:
    """A patient with images that every run of every trained backend misclassifies.

    If the split is by lesion or by image, the case is a lesion, or an image and its copies.
    """

    name: str
    #: True classes of the misclassified images.
    classes: tuple[str, ...]
    #: Number of misclassified images.
    wrong: int
    #: Number of test images of the case.
    images: int
    #: Misclassified images of which there are thumbnails.
    pictures: tuple[Wrong, ...]


class _Lost(NamedTuple):
    """A case before its pictures are read."""

    name: str
    classes: tuple[str, ...]
    wrong: int
    images: int
    #: IDs of the images that are shown.
    shown: tuple[str, ...]


def hard_cases(findings: Findings) -> list[HardCase]:
    """Return the cases of a report, those with the largest share of misclassified images first.

    The backend ``majority``, which reads no image, is ignored.
    """
    runs = [run for row in findings.rows if row.trained for run in row.runs]
    if not runs:
        return []
    names = runs[0].class_names
    first = runs[0].predictions
    together = first.assign(case=names_of_units(first, findings.unit)).set_index("image_id")
    always = pd.Series(data=True, index=together.index)
    for run in runs:
        frame = run.predictions.set_index("image_id")
        wrong = run.decided != frame["label"].to_numpy()
        always &= pd.Series(wrong, index=frame.index).reindex(always.index, fill_value=False)
    pictures = _pictures(findings)
    found = []
    for case, images in together.assign(always=always).groupby("case"):
        lost = images[images["always"]]
        if len(lost):
            found.append(
                _Lost(
                    str(case),
                    tuple(sorted({names[label] for label in lost["label"]})),
                    len(lost),
                    len(images),
                    tuple(str(i) for i in lost.index if i in pictures)[:_PICTURES],
                )
            )
    found.sort(key=lambda one: (-one.wrong / one.images, -one.wrong, one.name))
    kept = found[: _CASES[findings.unit]]
    shown = _Predictions(runs, [i for one in kept for i in one.shown])
    return [
        HardCase(
            one.name,
            one.classes,
            one.wrong,
            one.images,
            tuple(shown.of(i, pictures[i]) for i in one.shown),
        )
        for one in kept
    ]


class _Predictions:
    """Predictions of all runs for a few images."""

    def __init__(self, runs: Sequence[ComparedRun], images: Sequence[str]) -> None:
        self._names = runs[0].class_names
        columns = [f"probability_{name}" for name in self._names]
        found, decided = [], []
        for run in runs:
            frame = run.predictions.set_index("image_id")
            found.append(frame.loc[images, columns].to_numpy())
            decided.append(pd.Series(run.decided, index=frame.index).loc[images].to_numpy())
        self._labels = runs[0].predictions.set_index("image_id").loc[images, "label"]
        self._means = dict(zip(images, np.mean(found, axis=0), strict=True))
        self._votes = dict(zip(images, np.stack(decided, axis=-1), strict=True))

    def of(self, image: str, png: bytes) -> Wrong:
        """Return an image with its classes and mean probabilities."""
        label = int(self._labels[image])
        predicted = int(np.bincount(self._votes[image]).argmax())
        means = self._means[image]
        return Wrong(
            image,
            png,
            self._names[label],
            self._names[predicted],
            float(means[predicted]),
            float(means[label]),
        )


def _pictures(findings: Findings) -> dict[str, bytes]:
    tables = [run.thumbnails for row in findings.rows for run in row.runs]
    return {
        row.image_id: row.png for table in tables if table is not None for row in table.itertuples()
    }
