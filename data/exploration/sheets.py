"""Selection of the images that a page shows for each class, patient and set of duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.describe import choose
from data.description import Description
from data.duplicates import DuplicateSet
from data.exploration.findings import Findings

PER_CLASS = 12
PER_PATIENT = 6
PATIENTS_SHOWN = 36
SETS_SHOWN = 20
PER_SET = 4


@dataclass(frozen=True)
class PatientSheet:
    """Sample of one patient's images."""

    patient_id: str
    class_names: tuple[str, ...]
    images: int
    #: Adjectives for the figures in which the patient is an outlier.
    far: tuple[str, ...]
    #: Rows of the images to show.
    rows: tuple[dict[str, Any], ...]


def class_sheets(description: Description, findings: Findings) -> dict[str, list[dict[str, Any]]]:
    """Return class name -> images of evenly spread patients."""
    readable = _readable(findings)
    return {
        counts.class_name: choose(readable, counts.class_name, PER_CLASS).to_pylist()
        for counts in description.classes
    }


def patient_sheets(findings: Findings) -> list[PatientSheet]:
    """Return outliers and evenly spread other patients, from the darkest to the brightest."""
    patients = findings.patients
    far: dict[str, list[str]] = {}
    for one in findings.far:
        far.setdefault(one.patient_id, []).append(one.word)
    names = [str(name) for name in patients.index]
    chosen = {name for name in [*far][: PATIENTS_SHOWN // 2] if name in patients.index}
    others = [name for name in names if name not in far]
    number = min(len(others), PATIENTS_SHOWN - len(chosen))
    spread = np.linspace(0, len(others) - 1, number).astype(int).tolist() if number else []
    chosen |= {others[place] for place in spread}
    readable = _readable(findings)
    wanted = pa.array(sorted(chosen), pa.string())
    readable = readable.filter(pc.is_in(readable.column("patient_id"), wanted))
    rows_of: dict[str, list[dict[str, Any]]] = {name: [] for name in names if name in chosen}
    for row in readable.to_pylist():
        rows_of[row["patient_id"]].append(row)
    return [
        PatientSheet(
            name,
            tuple(sorted({row["class_name"] for row in rows})),
            len(rows),
            tuple(far.get(name, ())),
            tuple(_spread(rows, PER_PATIENT)),
        )
        for name, rows in rows_of.items()
    ]


def shown_sets(sets: Sequence[DuplicateSet]) -> list[DuplicateSet]:
    """Return the sets to show: sets that leak first, larger ones before smaller ones."""
    order = sorted(sets, key=lambda found: (not found.leaks, -len(found.images)))
    return order[:SETS_SHOWN]


def rows_of_sets(findings: Findings, sets: Sequence[DuplicateSet]) -> list[dict[str, Any]]:
    """Return the survey's rows of the images that are shown for ``sets``."""
    paths = [image["path"] for found in sets for image in found.images[:PER_SET]]
    table = findings.survey.table
    return [*table.filter(pc.is_in(table.column("path"), pa.array(paths, pa.string()))).to_pylist()]


def _readable(findings: Findings) -> pa.Table:
    table = findings.survey.table
    names = ["image_id", "path", "class_name", "patient_id", "width", "height"]
    return table.filter(pc.is_null(table.column("reason"))).select(names)


def _spread(rows: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    places = np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(int).tolist()
    return [rows[place] for place in places]
