"""Caveats that scores alone do not show: one class predicted for all images, few images."""

from collections.abc import Sequence

import numpy as np

from data.config import Unit
from data.names import visible
from experiments.scoring.uncertainty import RELIABLE_PATIENTS
from experiments.units import counted, counted_groups, plural

#: Number of images, and of patients or lesions, of a class below which its scores are uncertain.
FEW = 10
#: Maximum number of classes named in a sentence.
_NAMED = 8


def one_class(
    predicted: np.ndarray, class_names: Sequence[str], what: str = "test", *, trained: bool = True
) -> list[str]:
    """Return a sentence if the same class is predicted for every image, else an empty list.

    Parameters
    ----------
    predicted
        Predicted label of each image, shape (n,).
    class_names
        Classes in label order.
    what
        Name of the set of images: ``test`` or ``validation``.
    trained
        True if the predictions are those of a trained model.
    """
    if len(predicted) == 0 or (predicted != predicted[0]).any():
        return []
    name = visible(class_names[int(predicted[0])])
    sentence = f"The model predicts '{name}' for all {len(predicted):,} {what} images"
    return [sentence + ("; its F1 does not reflect what it has learned." if trained else ".")]


def few_examples(
    labels: np.ndarray,
    units: np.ndarray,
    class_names: Sequence[str],
    unit: Unit,
    what: str = "test",
) -> list[str]:
    """Return a sentence that names the classes with few images, or few patients or lesions.

    Parameters
    ----------
    labels
        True label of each image, shape (n,).
    units
        Patient, lesion or group of each image, shape (n,).
    class_names
        Classes in label order.
    unit
        Unit of the split.
    what
        Name of the set of images: ``test`` or ``validation``.

    Returns
    -------
    list of str
        One sentence, or an empty list if no class has few.
    """
    small = []
    for label, name in enumerate(class_names):
        own = labels == label
        images, groups = int(own.sum()), len(np.unique(units[own]))
        if images < FEW or (unit != "image" and groups < FEW):
            of = "" if unit == "image" else f" of {counted(groups, unit)}"
            small.append(f"'{visible(name)}' ({counted(images, 'image')}{of})")
    if not small:
        return []
    more = f" and {len(small) - _NAMED} more classes" if len(small) > _NAMED else ""
    limit = f"{FEW} {what} images"
    if unit != "image":
        limit += f" or {FEW} {what} {plural(unit)}"
    return [
        f"Fewer than {limit} for {', '.join(small[:_NAMED])}{more}: scores of such classes are "
        "uncertain."
    ]


def unreliable_interval(count: int, unit: Unit) -> list[str]:
    """Return a sentence if the interval of F1 is based on too few patients, lesions or images."""
    if count >= RELIABLE_PATIENTS:
        return []
    return [
        f"The 95 % interval of F1 is not reliable with {counted_groups(count, unit)}: at least "
        f"{RELIABLE_PATIENTS} are needed."
    ]
