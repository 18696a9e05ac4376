"""Scores of a run, from its predictions alone; the same code judges every backend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.config import Unit
from experiments.record_names import key_parts
from experiments.scoring.caveats import few_examples, one_class, unreliable_interval
from experiments.scoring.uncertainty import mean_interval
from experiments.units import names_of_units, plural


@dataclass(frozen=True)
class Scores:
    """Metrics by name, and what could not be computed."""

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
) -> Scores:
    """Return image-level metrics, the interval of F1 and patient-level metrics.

    Parameters
    ----------
    predictions
        Columns ``image_id``, ``patient_id``, ``label`` (index into ``class_names``), one column
        ``probability_<class>`` for each class and, for ``unit`` image, ``group`` where some images
        are equal.
    class_names
        Classes in label order.
    positive_class
        The class of F1, sensitivity, specificity, ROC AUC, average precision.
    unit
        Unit of the split, which the interval resamples.
    evaluation_split
        Which images they are, for sentences: ``test`` or ``validation``.
    trained
        Whether the predictions are those of something that was trained.

    Returns
    -------
    Scores
        Keys as in the record, without the prefix ``test.``: ``f1``, ``f1_low``, ``f1_high``,
        ``patient.f1`` and so on, which are of lesions where ``unit`` is lesion and are missing
        where it is image; with more than two classes ``roc_auc.<class>`` too. What is undefined on
        these images is left out and noted.
    """
    positive = list(class_names).index(positive_class)
    probabilities = predictions[[f"probability_{name}" for name in class_names]].to_numpy()
    labels, predicted = predictions["label"].to_numpy(), probabilities.argmax(axis=1)
    units = names_of_units(predictions, unit).to_numpy()
    values, notes = _score_rows(labels, probabilities, positive)
    low, high = f1_interval(labels, predicted, units, positive)
    values |= {"f1_low": low, "f1_high": high}
    notes += one_class(predicted, class_names, evaluation_split, trained=trained)
    notes += few_examples(labels, units, class_names, unit, evaluation_split)
    notes += unreliable_interval(len(np.unique(units)), unit)
    values |= _one_against_rest(labels, probabilities, class_names)
    if unit != "image":
        by_unit, more = _score_units(predictions, probabilities, positive, unit)
        values |= {f"patient.{name}": value for name, value in by_unit.items()}
        notes += more
    return Scores({key: v for key, v in values.items() if np.isfinite(v)}, tuple(notes))


def _score_units(
    predictions: pd.DataFrame, probabilities: np.ndarray, positive: int, unit: Unit
) -> tuple[dict[str, float], list[str]]:
    """Return metrics over patients or lesions, each judged by the mean of its images."""
    groups = pd.DataFrame(probabilities).groupby(predictions["patient_id"].to_numpy(), sort=True)
    truths = predictions.groupby("patient_id", sort=True)["label"]
    pure = truths.nunique() == 1
    notes = []
    if mixed := int((~pure).sum()):
        notes.append(
            f"{mixed} of {len(pure)} {plural(unit)} have images of more than one class and are "
            f"left out of the {unit}-level metrics."
        )
    truth = truths.first()[pure].to_numpy()
    if len(set(truth)) < 2:
        title = unit.capitalize()
        return {}, [*notes, f"{title}-level metrics need {plural(unit)} of at least two classes."]
    values, more = _score_rows(truth, groups.mean()[pure].to_numpy(), positive)
    return values, [*notes, *(f"By {unit}: {note}" for note in more)]


def _one_against_rest(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, float]:
    """Return ``roc_auc.<class>`` where there are more classes than two.

    The challenge ISIC 2017 scores two of them, melanoma and seborrheic keratosis, each against the
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

    Images of a patient are alike; taking them singly would give an interval that is too narrow for
    new patients. The method, with its sources, is that of ``experiments.scoring.uncertainty``.

    Parameters
    ----------
    labels, predicted
        Integers, shape (n,).
    patients
        Patient of each image, shape (n,).
    positive
        Label that F1 is about.

    Returns
    -------
    tuple
        Both ends; not numbers for one patient alone.
    """
    counts = patient_counts(labels, predicted, patients, positive)
    _, low, high = mean_interval(counts[None])
    return float(low), float(high)


def patient_counts(
    labels: np.ndarray, predicted: np.ndarray, patients: np.ndarray, positive: int
) -> np.ndarray:
    """Return rightly found positives and all errors of each patient, shape (2, patients).

    F1 of any set of patients follows from their sums. Patients are in the order of their names.
    """
    names, codes = np.unique(patients, return_inverse=True)
    truth, guess = labels == positive, predicted == positive
    hits = np.bincount(codes, weights=truth & guess, minlength=len(names))
    return np.stack([hits, np.bincount(codes, weights=truth != guess, minlength=len(names))])


def _score_rows(
    labels: np.ndarray, probabilities: np.ndarray, positive: int
) -> tuple[dict[str, float], list[str]]:
    """Return metrics over rows, whatever a row is."""
    from sklearn import metrics

    predicted = probabilities.argmax(axis=1)
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
        notes.append("Not every class occurs, so there is no balanced accuracy.")
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
