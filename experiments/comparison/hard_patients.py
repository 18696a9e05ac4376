"""Patients whose images every backend gets wrong, with the images."""

from dataclasses import dataclass

import pandas as pd

from experiments.comparison.findings import Findings

_PATIENTS, _PICTURES = 8, 6


@dataclass(frozen=True)
class HardPatient:
    """A patient, and images that every run of every trained backend has put in a wrong class."""

    patient_id: str
    #: True class of the images.
    classes: tuple[str, ...]
    wrong: int
    images: int
    pictures: tuple[bytes, ...]


def hard_patients(findings: Findings) -> list[HardPatient]:
    """Return the patients with most such images, at most eight.

    ``majority``, which looks at no image, does not count.
    """
    runs = [run for row in findings.rows if row.trained for run in row.runs]
    if not runs:
        return []
    names = runs[0].class_names
    columns = [f"probability_{name}" for name in names]
    together = runs[0].predictions[["image_id", "patient_id", "label"]].set_index("image_id")
    always = pd.Series(data=True, index=together.index)
    for run in runs:
        frame = run.predictions.set_index("image_id")
        wrong = frame[columns].to_numpy().argmax(axis=1) != frame["label"].to_numpy()
        always &= pd.Series(wrong, index=frame.index).reindex(always.index, fill_value=False)
    pictures = _pictures(findings)
    found = []
    for patient, images in together.assign(always=always).groupby("patient_id"):
        lost = images[images["always"]]
        if len(lost):
            found.append(
                HardPatient(
                    str(patient),
                    tuple(sorted({names[label] for label in lost["label"]})),
                    len(lost),
                    len(images),
                    tuple(pictures[i] for i in lost.index if i in pictures)[:_PICTURES],
                )
            )
    found.sort(key=lambda one: (-one.wrong / one.images, -one.wrong, one.patient_id))
    return found[:_PATIENTS]


def _pictures(findings: Findings) -> dict[str, bytes]:
    tables = [run.thumbnails for row in findings.rows for run in row.runs]
    return {
        row.image_id: row.png for table in tables if table is not None for row in table.itertuples()
    }
