"""Patients, lesions or single images that every trained backend misclassifies."""

from dataclasses import dataclass

import pandas as pd

from data.config import Unit
from experiments.comparison.findings import Findings
from experiments.units import names_of_units

#: Maximum number of cases in a report, by unit of the split.
_CASES: dict[Unit, int] = {"patient": 8, "lesion": 12, "image": 24}
#: Maximum number of pictures of a case.
_PICTURES = 6


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
    #: Misclassified images as PNG.
    pictures: tuple[bytes, ...]


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
                HardCase(
                    str(case),
                    tuple(sorted({names[label] for label in lost["label"]})),
                    len(lost),
                    len(images),
                    tuple(pictures[i] for i in lost.index if i in pictures)[:_PICTURES],
                )
            )
    found.sort(key=lambda one: (-one.wrong / one.images, -one.wrong, one.name))
    return found[: _CASES[findings.unit]]


def _pictures(findings: Findings) -> dict[str, bytes]:
    tables = [run.thumbnails for row in findings.rows for run in row.runs]
    return {
        row.image_id: row.png for table in tables if table is not None for row in table.itertuples()
    }
