"""Words and columns for the unit of a split: patient, lesion or image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from data.config import Unit

if TYPE_CHECKING:
    import pandas as pd

#: Tag of a record with the unit of its split.
UNIT_TAG = "split.unit"
_UNITS = ("patient", "lesion", "image")


def unit_of(tags: Mapping[str, str], params: Mapping[str, str]) -> Unit:
    """Return the unit of a record's split.

    Records made before there was a tag have patients, or images where they were split by image.
    """
    if (unit := tags.get(UNIT_TAG)) in _UNITS:
        return cast(Unit, unit)
    return "image" if params.get("data.split.by") == "image" else "patient"


def plural(unit: Unit) -> str:
    """Return ``patients``, ``lesions`` or ``images``."""
    return f"{unit}s"


def counted(number: int, unit: Unit) -> str:
    """Return ``1 patient``, ``1,024 images`` and the like."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def counted_groups(number: int, unit: Unit) -> str:
    """Return ``16 patients`` or ``90 distinct images``: images that show the same count once."""
    return counted(number, unit) if unit != "image" else f"{number:,} distinct {plural(unit)}"


def names_of_units(predictions: "pd.DataFrame", unit: Unit) -> "pd.Series":
    """Return the name of the patient, lesion or group of equal images of each row.

    Parameters
    ----------
    predictions
        Columns ``image_id`` and ``patient_id``, and ``group`` in records that have it.
    """
    if unit != "image":
        return predictions["patient_id"]
    # Where patients are known and the split is by image, an image is its own group.
    return predictions["group" if "group" in predictions else "image_id"]
