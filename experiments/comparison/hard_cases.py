"""Patients, lesions or single images that every backend gets wrong, with the images."""

from dataclasses import dataclass

import pandas as pd

from data.config import Unit
from experiments.comparison.findings import Findings
from experiments.units import names_of_units

#: Cases that a report shows, each with so many pictures at most.
_CASES: dict[Unit, int] = {"patient": 8, "lesion": 12, "image": 24}
_PICTURES = 6


@dataclass(frozen=True)
class HardCase:
    """A patient, and images that every run of every trained backend has put in a wrong class.

    It is a lesion, or one image and its copies, where the split is by these.
    """

    name: str
    #: True class of the images.
    classes: tuple[str, ...]
    wrong: int
    images: int
    pictures: tuple[bytes, ...]


def hard_cases(findings: Findings) -> list[HardCase]:
    """Return the patients, lesions or images with most such images, as many as a report shows.

    ``majority``, which is given no image, does not count.
    """
    runs = [run for row in findings.rows if row.trained for run in row.runs]
    if not runs:
        return []
    names = runs[0].class_names
    columns = [f"probability_{name}" for name in names]
    first = runs[0].predictions
    together = first.assign(case=names_of_units(first, findings.unit)).set_index("image_id")
    always = pd.Series(data=True, index=together.index)
    for run in runs:
        frame = run.predictions.set_index("image_id")
        wrong = frame[columns].to_numpy().argmax(axis=1) != frame["label"].to_numpy()
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
