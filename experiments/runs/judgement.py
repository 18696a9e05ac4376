"""Metrics and figures from the result folder of a run; backends do not score themselves."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.records import THRESHOLD
from experiments.runs.deciding import settle
from experiments.runs.task import PREDICTIONS, Result
from experiments.scoring.figures import confusion_matrix, learning_curve, reliability_curve
from experiments.scoring.metrics import score
from experiments.scoring.reliability import reliability
from experiments.scoring.thumbnails import THUMBNAILS, write_thumbnails
from models.decision import decide

#: Metric with the temperature of calibrated probabilities.
TEMPERATURE = "decision.temperature"
#: Tag with the rule by which the decision threshold was chosen.
RULE = "decision.rule"


@dataclass(frozen=True)
class Judgement:
    """Metrics and tags by their names in the record, and notes on them."""

    metrics: dict[str, float]
    tags: dict[str, str]
    notes: list[str]


def judge(
    plan: RunPlan, data: PreparedData, result: Result, folder: Path, artifacts: Path
) -> Judgement:
    """Score the predictions in ``folder`` and write the run's figures to ``artifacts``.

    The predictions are calibrated first if the experiment requests it.
    """
    decision = settle(plan, data, folder)
    predictions = pd.read_parquet(folder / PREDICTIONS)
    scores = score(
        predictions,
        data.class_names,
        plan.experiment.positive_class,
        unit=data.summary.unit,
        evaluation_split=plan.evaluation_split,
        trained=result.steps > 0,
        threshold=decision.threshold,
    )
    metrics = {f"{plan.evaluation_split}.{name}": value for name, value in scores.values.items()}
    metrics |= {f"validation.{name}": value for name, value in decision.scores.items()}
    metrics[THRESHOLD] = decision.threshold
    if plan.experiment.calibration != "none":
        metrics[TEMPERATURE] = decision.temperature
    metrics |= {f"time.{name}_s": seconds for name, seconds in result.times.items()}
    metrics |= {
        "train.samples_seen": float(result.samples_seen),
        "train.steps": float(result.steps),
    }
    if data.dtype == "float32":
        metrics["time.features_s"] = data.summary.features_s
    seconds = result.times.get("fit", 0.0)
    if result.epochs and seconds > 0:
        metrics["train.images_per_s"] = result.samples_seen / seconds
    stamp = "synthetic cells" if data.summary.synthetic else ""
    title = f"{plan.backend}, seed {plan.seed}"
    labels, name = predictions["label"].to_numpy(), plan.experiment.positive_class
    probabilities = predictions[[f"probability_{one}" for one in data.class_names]].to_numpy()
    positive = data.class_names.index(name)
    predicted = decide(probabilities, positive, decision.threshold)
    confusion_matrix(
        labels, predicted, data.class_names, title, stamp, artifacts / "confusion_matrix.png"
    )
    learning_curve(result.epochs, title, stamp, artifacts / "learning_curve.png")
    bins = reliability(labels == positive, probabilities[:, positive])
    reliability_curve(bins, name, title, stamp, artifacts / "reliability.png")
    write_thumbnails(predictions, predicted, data, artifacts / THUMBNAILS)
    return Judgement(metrics, {RULE: str(decision.rule)}, [*decision.notes, *scores.notes])
