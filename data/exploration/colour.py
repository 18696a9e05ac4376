"""Brightness and colour of each patient's images, and who lies far from the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

#: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): a modified z score, 0.6745 times
#: the distance from the median in median absolute deviations, beyond 3.5.
LARGEST_SCORE = 3.5
_NORMAL = 0.6745
#: A patient with fewer images is drawn and not judged: the median of a few is chance.
LEAST_IMAGES = 5
#: Patients that have as many, below which none is judged.
LEAST_PATIENTS = 8
#: Figure -> what more and less of it are called.
FIGURES = {
    "brightness": ("brighter", "darker"),
    "red_share": ("redder", "less red"),
    "blue_share": ("bluer", "less blue"),
}
#: What a patient must differ by at least: less is not seen, however alike the others are.
LEAST_DISTANCE = {"brightness": 5.0, "red_share": 0.01, "blue_share": 0.01}


@dataclass(frozen=True)
class FarPatient:
    """A patient whose images differ from those of the others."""

    patient_id: str
    #: Key of `FIGURES`.
    figure: str
    value: float
    #: Median over all judged patients.
    usual: float
    #: Modified z score.
    score: float

    @property
    def word(self) -> str:
        """How the images are, beside the others."""
        return FIGURES[self.figure][0 if self.score > 0 else 1]


def image_figures(table: pa.Table) -> "pd.DataFrame":
    """Return patient_id, class_name, colours and `FIGURES` of each image that is not all black.

    ``red_share`` and ``blue_share`` are parts of red + green + blue: they do not change with the
    light, only with the stain or the camera's white balance.
    """
    names = ["path", "patient_id", "class_name", "brightness", "red", "green", "blue"]
    frame = table.select(names).to_pandas().dropna(subset=["brightness"])
    total = frame[["red", "green", "blue"]].sum(axis=1)
    return frame.assign(red_share=frame["red"] / total, blue_share=frame["blue"] / total)


def patient_figures(images: "pd.DataFrame") -> "pd.DataFrame":
    """Return medians of each patient's images, darkest patient first, and ``images``."""
    columns = [*FIGURES, "red", "green", "blue"]
    grouped = images.groupby("patient_id")
    patients = grouped[columns].median().assign(images=grouped.size())
    return patients.sort_values(["brightness", "images"], kind="stable")


def far_patients(patients: "pd.DataFrame") -> list[FarPatient]:
    """Return who lies far out, farthest first; nobody where few patients can be judged."""
    if not can_judge(patients):
        return []
    judged = patients[patients["images"] >= LEAST_IMAGES]
    far = []
    for figure in FIGURES:
        values = judged[figure]
        usual = values.median()
        # Grey images have one share of red, up to rounding: no deviation to measure by.
        deviation = max((values - usual).abs().median(), LEAST_DISTANCE[figure] / 10)
        scores = _NORMAL * (values - usual) / deviation
        is_far = (scores.abs() > LARGEST_SCORE) & ((values - usual).abs() >= LEAST_DISTANCE[figure])
        far += [
            FarPatient(str(patient), figure, float(values[patient]), float(usual), float(score))
            for patient, score in scores[is_far].items()
        ]
    return sorted(far, key=lambda one: -abs(one.score))


def can_judge(patients: "pd.DataFrame") -> bool:
    """Tell whether there are enough patients to say who lies far from the others."""
    return int((patients["images"] >= LEAST_IMAGES).sum()) >= LEAST_PATIENTS


def is_grey(images: "pd.DataFrame") -> bool:
    """Tell whether no image has a colour, up to what JPEG adds."""
    colours = images[["red", "green", "blue"]]
    return bool((colours.max(axis=1) - colours.min(axis=1) < 1).all())
