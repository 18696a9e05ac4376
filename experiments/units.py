"""Wording and columns for the unit of a split: patient, lesion or image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from data.config import Unit

if TYPE_CHECKING:
    import pandas as pd

#: Tag that stores the unit of a record's split.
UNIT_TAG = "split.unit"
_UNITS = ("patient", "lesion", "image")


def unit_of(tags: Mapping[str, str], params: Mapping[str, str]) -> Unit:
    """Return the unit of a record's split.

    Records made before this tag was introduced have patients, or images if they were split by
    image.
    """
    if (unit := tags.get(UNIT_TAG)) in _UNITS:
        return cast(Unit, unit)
    return "image" if params.get("data.split.by") == "image" else "patient"


def plural(unit: Unit) -> str:
    """Return ``patients``, ``lesions`` or ``images``."""
    return f"{unit}s"


def counted(number: int, unit: Unit) -> str:
    """Return the number with its unit, for example ``1 patient`` or ``1,024 images``."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def counted_groups(number: int, unit: Unit) -> str:
    """Return ``16 patients`` or ``90 distinct images``; equal images are counted once."""
    return counted(number, unit) if unit != "image" else f"{number:,} distinct {plural(unit)}"


def names_of_units(predictions: "pd.DataFrame", unit: Unit) -> "pd.Series":
    """Return the name of the patient, lesion or group of equal images of each row.

    Parameters
    ----------
    predictions
        Table with the columns ``image_id`` and ``patient_id``, and in newer records ``group``.
    """
    if unit != "image":
        return predictions["patient_id"]
    # If patients are known and the split is by image, each image is a group of its own.
    return predictions["group" if "group" in predictions else "image_id"]
