"""Calibration and decision threshold of a run, from the predictions of its validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.names import visible
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.runs.task import PREDICTIONS, VALIDATION_PREDICTIONS
from experiments.scoring.caveats import few_examples
from experiments.scoring.metrics import score
from experiments.scoring.temperature import fit_temperature
from experiments.scoring.threshold import choose
from experiments.threshold_rule import Rule, rule_of
from experiments.units import names_of_units
from models.decision import MOST_PROBABLE, scaled

#: Scores on the validation images that every record has.
_SCORES = ("f1", "sensitivity", "specificity")
#: The rule that needs no validation images.
_FIXED = Rule("fixed", MOST_PROBABLE)


@dataclass(frozen=True)
class Decision:
    """Decision threshold and calibration of one run."""

    #: Threshold of `models.decision.decide`.
    threshold: float = MOST_PROBABLE
    #: Rule by which the threshold was chosen.
    rule: Rule = _FIXED
    #: Divisor of the logits that was applied to the predictions.
    temperature: float = 1.0
    #: Scores on the validation images at the threshold, by name.
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def settle(plan: RunPlan, data: PreparedData, folder: Path) -> Decision:
    """Calibrate the predictions in ``folder`` and choose the decision threshold.

    Both follow from the validation images alone. If these do not determine them, the probabilities
    stay unchanged or the threshold is 0.5, with a note. A run that is evaluated on the validation
    images themselves has a threshold of 0.5 and unchanged probabilities.

    Parameters
    ----------
    plan
        Plan with the rule of the threshold and the kind of calibration.
    data
        Prepared data set of the run.
    folder
        Folder with the predictions, in which calibrated probabilities replace the original ones.
    """
    if plan.evaluation_split != "test":
        return Decision()
    temperature, notes = 1.0, []
    if plan.experiment.calibration == "temperature":
        found = _calibrate(folder, data.class_names)
        if found is None:
            notes.append(
                "The probabilities are not calibrated: the validation images do not determine a "
                "temperature."
            )
        temperature = found or temperature
    validation = _validation(folder)
    rule = rule_of(plan.experiment.threshold)
    threshold = _threshold(rule, validation, plan, data)
    if threshold is None:
        positive = visible(plan.experiment.positive_class)
        notes.append(
            f"The decision threshold is {_FIXED}: the rule '{rule}' needs validation images of "
            f"'{positive}' and of other classes, with different predicted probabilities."
        )
        rule, threshold = _FIXED, _FIXED.value
    if validation is None:
        return Decision(threshold, rule, temperature, {}, tuple(notes))
    scores = _scores(validation, plan, data, threshold)
    notes += _caveats(rule, validation, scores, data)
    return Decision(threshold, rule, temperature, scores, tuple(notes))


def _validation(folder: Path) -> pd.DataFrame | None:
    """Return the predictions of the validation images; None if the backend trains nothing."""
    path = folder / VALIDATION_PREDICTIONS
    return pd.read_parquet(path) if path.exists() else None


def _calibrate(folder: Path, class_names: Sequence[str]) -> float | None:
    """Scale all predictions in ``folder`` and return the temperature, or None if there is none."""
    validation = _validation(folder)
    if validation is None:
        return None
    columns = _columns(class_names)
    labels, probabilities = validation["label"].to_numpy(), validation[columns].to_numpy()
    temperature = fit_temperature(labels, probabilities)
    if temperature is not None:
        for file in (PREDICTIONS, VALIDATION_PREDICTIONS):
            predictions = pd.read_parquet(folder / file)
            predictions[columns] = scaled(predictions[columns].to_numpy(), temperature)
            predictions.to_parquet(folder / file, index=False)
    return temperature


def _threshold(
    rule: Rule, validation: pd.DataFrame | None, plan: RunPlan, data: PreparedData
) -> float | None:
    """Return the threshold, or None if the validation images do not determine it."""
    if rule.kind == "fixed":
        return rule.value
    if validation is None:
        return None
    positive = data.class_names.index(plan.experiment.positive_class)
    probabilities = validation[_columns(data.class_names)].to_numpy()
    return choose(rule, validation["label"].to_numpy() == positive, probabilities[:, positive])


def _scores(
    validation: pd.DataFrame, plan: RunPlan, data: PreparedData, threshold: float
) -> dict[str, float]:
    values = score(
        validation,
        data.class_names,
        plan.experiment.positive_class,
        unit=data.summary.unit,
        evaluation_split="validation",
        threshold=threshold,
    ).values
    return {name: values[name] for name in _SCORES if name in values}


def _caveats(
    rule: Rule, validation: pd.DataFrame, scores: Mapping[str, float], data: PreparedData
) -> list[str]:
    """Return notes on a threshold that rests on few images or does not reach its aim."""
    if rule.kind == "fixed":
        return []
    unit = data.summary.unit
    labels, units = validation["label"].to_numpy(), names_of_units(validation, unit).to_numpy()
    notes = few_examples(labels, units, data.class_names, unit, "validation")
    if rule.kind in scores and scores[rule.kind] < rule.value:
        notes.append(
            f"No threshold reaches the {rule.kind} {rule.value:g} on the validation images; the "
            f"highest is {scores[rule.kind]:.3f}."
        )
    return notes


def _columns(class_names: Sequence[str]) -> list[str]:
    return [f"probability_{name}" for name in class_names]
