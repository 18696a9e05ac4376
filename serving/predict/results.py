"""Results of a classification: one row for each image, and means by patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models.card import ModelCard
from models.decision import decide
from serving.predict.images import Images


def column_of(class_name: str) -> str:
    """Return the name of the column with the probabilities of a class."""
    return f"probability_{class_name}"


@dataclass(frozen=True)
class PatientResult:
    """Mean over the images of a patient, a case or a lesion."""

    patient: str
    images: int
    #: Most probable class, and class at the decision threshold.
    class_name: str
    decision: str
    #: Mean probability of each class, in the order of the classes.
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Results:
    """Class probabilities of images.

    Attributes
    ----------
    images
        The images, one row for each.
    card
        Card of the model.
    probabilities
        float32, shape (n, classes); NaN in the rows of images that could not be read.
    errors
        Row -> reason why its image could not be read, in one line.
    """

    images: Images
    card: ModelCard
    probabilities: np.ndarray
    errors: Mapping[int, str]

    @property
    def scored(self) -> np.ndarray:
        """Rows whose image was classified, int64."""
        return np.flatnonzero(~np.isnan(self.probabilities[:, 0]))

    @property
    def classes(self) -> np.ndarray:
        """Index of the most probable class of each scored image."""
        best: np.ndarray = self.probabilities[self.scored].argmax(axis=1)
        return best

    @property
    def decisions(self) -> np.ndarray:
        """Index of the class of each scored image at the decision threshold."""
        threshold = self.card.threshold.value
        return decide(self.probabilities[self.scored], self.card.positive, threshold)

    @property
    def rejects(self) -> list[tuple[str, str]]:
        """Path and reason of every file that was not classified."""
        paths = self.images.paths
        found = [(one.path, one.reason) for one in self.images.rejects]
        return [*found, *((paths[row], reason) for row, reason in sorted(self.errors.items()))]

    def table(self) -> pa.Table:
        """Return one row for each image, followed by the rejects.

        Returns
        -------
        pyarrow.Table
            Columns ``path``, ``patient`` and ``label`` (true class) if they are known, ``class``,
            ``decision``, ``probability_<class>`` (float32) and ``error``; null where there is no
            value.
        """
        names, rows, more = self.card.class_names, len(self.probabilities), self.images.rejects
        images = self.images.table
        columns: dict[str, pa.Array] = {
            "path": _text([*self.images.paths, *(one.path for one in more)])
        }
        for name, source in (("patient", "patient_id"), ("label", "class_name")):
            if images.column(source).null_count < rows:
                columns[name] = _text(images.column(source).to_pylist() + [None] * len(more))
        for name, indices in (("class", self.classes), ("decision", self.decisions)):
            found: list[str | None] = [None] * (rows + len(more))
            for row, index in zip(self.scored.tolist(), indices.tolist(), strict=True):
                found[row] = names[index]
            columns[name] = _text(found)
        for place, name in enumerate(names):
            values = np.append(self.probabilities[:, place], np.full(len(more), np.nan, np.float32))
            columns[column_of(name)] = pa.array(values, pa.float32(), from_pandas=True)
        errors = [self.errors.get(row) for row in range(rows)]
        columns["error"] = _text([*errors, *(one.reason for one in more)])
        return pa.table(columns)

    def by_patient(self) -> list[PatientResult]:
        """Return the mean probabilities of each patient, sorted by name; empty if none is known."""
        if self.images.unit == "image":
            return []
        rows = self.scored
        patients = (
            self.images.table.column("patient_id").take(pa.array(rows, pa.int64())).to_pylist()
        )
        known = [place for place, name in enumerate(patients) if name is not None]
        if not known:
            return []
        names, codes = np.unique([patients[place] for place in known], return_inverse=True)
        counts = np.bincount(codes)
        means = np.zeros((len(names), self.probabilities.shape[1]))
        np.add.at(means, codes, self.probabilities[rows[known]])
        means /= counts[:, None]
        classes = self.card.class_names
        decided = decide(means, self.card.positive, self.card.threshold.value)
        return [
            PatientResult(
                str(name), int(count), classes[best], classes[choice], tuple(map(float, mean))
            )
            for name, count, best, choice, mean in zip(
                names, counts, means.argmax(axis=1), decided, means, strict=True
            )
        ]

    def patient_rows(self) -> list[dict[str, Any]]:
        """Return `by_patient` as rows with the columns of the table of images."""
        return [
            {
                self.images.unit: one.patient,
                "images": one.images,
                "class": one.class_name,
                "decision": one.decision,
                **dict(zip(map(column_of, self.card.class_names), one.probabilities, strict=True)),
            }
            for one in self.by_patient()
        ]


def _text(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())
