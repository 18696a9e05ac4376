"""Brightness and color of each patient's images, and the patients that are outliers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

#: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): outliers have a modified z score
#: beyond 3.5, which is 0.6745 times the distance from the median in median absolute deviations.
LARGEST_SCORE = 3.5
_NORMAL = 0.6745
#: A patient with fewer images is drawn but not tested: the median of a few images is random.
LEAST_IMAGES = 5
#: Without this many patients of at least ``LEAST_IMAGES`` images, no patient is tested.
LEAST_PATIENTS = 8
#: Figure -> words for a higher and a lower value.
FIGURES = {
    "brightness": ("brighter", "darker"),
    "red_share": ("redder", "less red"),
    "blue_share": ("bluer", "less blue"),
}
#: Smallest difference of an outlier: less is not visible, however similar the others are.
LEAST_DISTANCE = {"brightness": 5.0, "red_share": 0.01, "blue_share": 0.01}


@dataclass(frozen=True)
class FarPatient:
    """A patient whose images differ from those of the others."""

    patient_id: str
    #: Key of `FIGURES`.
    figure: str
    value: float
    #: Median over all tested patients.
    usual: float
    #: Modified z score.
    score: float

    @property
    def word(self) -> str:
        """Adjective that compares the images with those of the other patients."""
        return FIGURES[self.figure][0 if self.score > 0 else 1]


def image_figures(table: pa.Table) -> "pd.DataFrame":
    """Return patient_id, class_name, colors and `FIGURES` of each image that is not all black.

    ``red_share`` and ``blue_share`` are fractions of red + green + blue: they depend on the stain
    and the camera's white balance but not on the light.
    """
    names = ["path", "patient_id", "class_name", "brightness", "red", "green", "blue"]
    frame = table.select(names).to_pandas().dropna(subset=["brightness"])
    total = frame[["red", "green", "blue"]].sum(axis=1)
    return frame.assign(red_share=frame["red"] / total, blue_share=frame["blue"] / total)


def patient_figures(images: "pd.DataFrame") -> "pd.DataFrame":
    """Return the medians and the number (``images``) of each patient's images, darkest first."""
    columns = [*FIGURES, "red", "green", "blue"]
    grouped = images.groupby("patient_id")
    patients = grouped[columns].median().assign(images=grouped.size())
    return patients.sort_values(["brightness", "images"], kind="stable")


def far_patients(patients: "pd.DataFrame") -> list[FarPatient]:
    """Return the outliers, farthest first; empty if too few patients can be tested."""
    if not can_judge(patients):
        return []
    judged = patients[patients["images"] >= LEAST_IMAGES]
    far = []
    for figure in FIGURES:
        values = judged[figure]
        usual = values.median()
        # Gray images have the same share of red up to rounding, hence a deviation close to 0.
        deviation = max((values - usual).abs().median(), LEAST_DISTANCE[figure] / 10)
        scores = _NORMAL * (values - usual) / deviation
        is_far = (scores.abs() > LARGEST_SCORE) & ((values - usual).abs() >= LEAST_DISTANCE[figure])
        far += [
            FarPatient(str(patient), figure, float(values[patient]), float(usual), float(score))
            for patient, score in scores[is_far].items()
        ]
    return sorted(far, key=lambda one: -abs(one.score))


def can_judge(patients: "pd.DataFrame") -> bool:
    """Return whether there are enough patients to identify outliers."""
    return int((patients["images"] >= LEAST_IMAGES).sum()) >= LEAST_PATIENTS


def is_grey(images: "pd.DataFrame") -> bool:
    """Return whether all images are gray, up to color noise added by JPEG."""
    colours = images[["red", "green", "blue"]]
    return bool((colours.max(axis=1) - colours.min(axis=1) < 1).all())
