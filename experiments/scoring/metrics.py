"""Scores of a run, computed from its predictions by the same code for every backend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.config import Unit
from experiments.record_names import key_parts
from experiments.scoring.auc import auc_interval
from experiments.scoring.caveats import few_examples, one_class, unreliable_interval
from experiments.scoring.reliability import reliability
from experiments.scoring.uncertainty import mean_interval, share_interval
from experiments.units import names_of_units, plural
from models.decision import MOST_PROBABLE, decide


@dataclass(frozen=True)
class Scores:
    """Metrics by name, and notes on undefined or uncertain ones."""

    values: dict[str, float]
    notes: tuple[str, ...]


def score(
    predictions: pd.DataFrame,
    class_names: Sequence[str],
    positive_class: str,
    *,
    unit: Unit = "patient",
    evaluation_split: str = "test",
    trained: bool = True,
    threshold: float = MOST_PROBABLE,
) -> Scores:
    """Return image-level metrics, intervals and patient-level metrics.

    Parameters
    ----------
    predictions
        Columns ``image_id``, ``patient_id``, ``label`` (index into ``class_names``), one column
        ``probability_<class>`` for each class and, for ``unit`` image, ``group`` if some images
        are equal.
    class_names
        Classes in label order.
    positive_class
        Class for which F1, sensitivity, specificity, ROC AUC and average precision are computed.
    unit
        Unit of the split, over which intervals are computed.
    evaluation_split
        Name of the set of images, for the notes: ``test`` or ``validation``.
    trained
        True if the predictions are those of a trained model.
    threshold
        Decision threshold of `models.decision.decide`, for images and for patients.

    Returns
    -------
    Scores
        Keys as in the record, without the prefix ``test.``: ``f1``, ``f1_low``, ``f1_high``,
        ``patient.f1``, ``brier_reliability`` and so on; with more than two classes also
        ``roc_auc.<class>``. Keys with the prefix ``patient.`` are computed over lesions if ``unit``
        is lesion, and are missing if it is image. Metrics that are undefined on these images are
        omitted, with a note.
    """
    positive = list(class_names).index(positive_class)
    probabilities = predictions[[f"probability_{name}" for name in class_names]].to_numpy()
    labels = predictions["label"].to_numpy()
    predicted = decide(probabilities, positive, threshold)
    units = names_of_units(predictions, unit).to_numpy()
    values, notes = _score_rows(labels, probabilities, positive, threshold)
    low, high = f1_interval(labels, predicted, units, positive)
    values |= {"f1_low": low, "f1_high": high}
    truth, certainty = labels == positive, probabilities[:, positive]
    values |= _share_intervals(truth, predicted == positive, units)
    low, high = auc_interval(truth, certainty, units)
    values |= {"roc_auc_low": low, "roc_auc_high": high}
    bins = reliability(truth, certainty)
    values |= {f"brier_{name}": value for name, value in bins.brier_components().items()}
    notes += one_class(predicted, class_names, evaluation_split, trained=trained)
    notes += few_examples(labels, units, class_names, unit, evaluation_split)
    notes += unreliable_interval(len(np.unique(units)), unit)
    values |= _one_against_rest(labels, probabilities, class_names)
    if unit != "image":
        by_unit, more = _score_units(predictions, probabilities, positive, unit, threshold)
        values |= {f"patient.{name}": value for name, value in by_unit.items()}
        notes += more
    return Scores({key: v for key, v in values.items() if np.isfinite(v)}, tuple(notes))


def _score_units(
    predictions: pd.DataFrame,
    probabilities: np.ndarray,
    positive: int,
    unit: Unit,
    threshold: float,
) -> tuple[dict[str, float], list[str]]:
    """Return metrics over patients or lesions, from the mean probabilities of their images."""
    groups = pd.DataFrame(probabilities).groupby(predictions["patient_id"].to_numpy(), sort=True)
    truths = predictions.groupby("patient_id", sort=True)["label"]
    pure = truths.nunique() == 1
    notes = []
    if mixed := int((~pure).sum()):
        notes.append(
            f"{mixed} of {len(pure)} {plural(unit)} have images of more than one class and are "
            f"excluded from the {unit}-level metrics."
        )
    truth = truths.first()[pure].to_numpy()
    if len(set(truth)) < 2:
        title = unit.capitalize()
        return {}, [*notes, f"{title}-level metrics need {plural(unit)} of at least two classes."]
    values, more = _score_rows(truth, groups.mean()[pure].to_numpy(), positive, threshold)
    return values, [*notes, *(f"By {unit}: {note}" for note in more)]


def _one_against_rest(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, float]:
    """Return ``roc_auc.<class>`` if there are more than two classes.

    The ISIC 2017 challenge scores melanoma and seborrheic keratosis in this way, each against the
    rest: N. Codella et al., "Skin Lesion Analysis Toward Melanoma Detection", 2018.
    """
    from sklearn.metrics import roc_auc_score

    if len(class_names) <= 2:
        return {}
    parts = key_parts(class_names)
    return {
        f"roc_auc.{parts[name]}": float(roc_auc_score(labels == number, probabilities[:, number]))
        for number, name in enumerate(class_names)
        if 0 < (labels == number).sum() < len(labels)
    }


def f1_interval(
    labels: np.ndarray, predicted: np.ndarray, patients: np.ndarray, positive: int
) -> tuple[float, float]:
    """Return the 95 % interval of F1 over patients, not images.

    Images of a patient are correlated; treating them as independent would make the interval too
    narrow for new patients. The method and its sources are described in
    ``experiments.scoring.uncertainty``.

    Parameters
    ----------
    labels, predicted
        True and predicted labels, integers of shape (n,).
    patients
        Patient of each image, shape (n,).
    positive
        Label for which F1 is computed.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN if there is only one patient.
    """
    counts = patient_counts(labels, predicted, patients, positive)
    _, low, high = mean_interval(counts[None])
    return float(low), float(high)


def _share_intervals(
    truth: np.ndarray, guess: np.ndarray, patients: np.ndarray
) -> dict[str, float]:
    """Return the ends of the intervals of sensitivity and specificity over patients."""
    found: dict[str, float] = {}
    for name, rows, hits in (("sensitivity", truth, guess), ("specificity", ~truth, ~guess)):
        # Only the patients with images of the class contribute to the share.
        _, codes = np.unique(patients[rows], return_inverse=True)
        if 0 < rows.sum() < len(rows):
            right, all_ = np.bincount(codes, weights=hits[rows]), np.bincount(codes)
            low, high = share_interval(right, all_ - right)
            found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def patient_counts(
    labels: np.ndarray, predicted: np.ndarray, patients: np.ndarray, positive: int
) -> np.ndarray:
    """Return the true positives and the errors of each patient, shape (2, patients).

    The F1 of any set of patients follows from the sums over them. Patients are sorted by name.
    Arguments as in ``f1_interval``.
    """
    names, codes = np.unique(patients, return_inverse=True)
    truth, guess = labels == positive, predicted == positive
    hits = np.bincount(codes, weights=truth & guess, minlength=len(names))
    return np.stack([hits, np.bincount(codes, weights=truth != guess, minlength=len(names))])


def _score_rows(
    labels: np.ndarray, probabilities: np.ndarray, positive: int, threshold: float
) -> tuple[dict[str, float], list[str]]:
    """Return metrics over rows, which may be images, patients or lesions, and notes."""
    from sklearn import metrics

    predicted = decide(probabilities, positive, threshold)
    truth, guess = labels == positive, predicted == positive
    certainty = probabilities[:, positive]
    classes = np.arange(probabilities.shape[1])
    values = {
        "f1": metrics.f1_score(truth, guess, zero_division=0),
        "weighted_f1": metrics.f1_score(labels, predicted, average="weighted", zero_division=0),
        "macro_f1": metrics.f1_score(
            labels, predicted, labels=classes, average="macro", zero_division=0
        ),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "brier": metrics.brier_score_loss(truth, np.clip(certainty, 0, 1)),
    }
    notes = []
    if set(labels) == set(classes):
        values["balanced_accuracy"] = metrics.balanced_accuracy_score(labels, predicted)
    else:
        notes.append("Not every class occurs, so the balanced accuracy is undefined.")
    if truth.any() and not truth.all():
        values |= {
            "sensitivity": metrics.recall_score(truth, guess),
            "specificity": metrics.recall_score(~truth, ~guess),
            "roc_auc": metrics.roc_auc_score(truth, certainty),
            "average_precision": metrics.average_precision_score(truth, certainty),
        }
    else:
        notes.append(
            "The positive class or its opposite does not occur, so sensitivity, specificity, ROC "
            "AUC and average precision are undefined."
        )
    return {name: float(value) for name, value in values.items()}, notes
