"""Interval of the balanced accuracy over patients."""

import numpy as np

from experiments.scoring.uncertainty import jackknife_interval


def balanced_accuracy_interval(
    labels: np.ndarray, predicted: np.ndarray, patients: np.ndarray, classes: int
) -> tuple[float, float]:
    """Return the 95 % interval of the balanced accuracy over patients.

    The balanced accuracy is the mean over the classes of the share of images that are assigned to
    their class. Its log odds are treated like those of F1 (`experiments.scoring.uncertainty`), with
    a jackknife over patients.

    Parameters
    ----------
    labels, predicted
        True and predicted labels, integers of shape (n,).
    patients
        Patient of each image, shape (n,).
    classes
        Number of classes.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN if a class is missing or has the images of one patient only, if no
        image or all images are assigned to their class, or if nothing varies between patients.
    """
    names, codes = np.unique(patients, return_inverse=True)
    shape = (classes, len(names))
    images, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(images, (labels, codes), 1)
    np.add.at(hits, (labels, codes), labels == predicted)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.mean(hits.sum(axis=1) / images.sum(axis=1))
        others = images.sum(axis=1, keepdims=True) - images
        omitted = ((hits.sum(axis=1, keepdims=True) - hits) / others).mean(axis=0)
        odds, omitted_odds = _log_odds(value), _log_odds(omitted)
    is_defined = np.isfinite(odds) and np.isfinite(omitted_odds).all()
    if not is_defined or np.ptp(omitted_odds) == 0:
        return float("nan"), float("nan")
    return jackknife_interval(float(odds), omitted_odds)


def _log_odds(share: np.ndarray) -> np.ndarray:
    return np.log(share) - np.log1p(-share)
