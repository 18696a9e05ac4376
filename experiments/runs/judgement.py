"""Metrics and figures from the result folder of a run; backends do not score themselves."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.runs.task import PREDICTIONS, Result
from experiments.scoring.figures import confusion_matrix, learning_curve
from experiments.scoring.metrics import score
from experiments.scoring.thumbnails import THUMBNAILS, write_thumbnails


@dataclass(frozen=True)
class Judgement:
    """Metrics by their names in the record, and notes on them."""

    metrics: dict[str, float]
    notes: list[str]


def judge(
    plan: RunPlan, data: PreparedData, result: Result, folder: Path, artifacts: Path
) -> Judgement:
    """Score the predictions in ``folder`` and write the run's figures to ``artifacts``."""
    predictions = pd.read_parquet(folder / PREDICTIONS)
    scores = score(
        predictions,
        data.class_names,
        plan.experiment.positive_class,
        unit=data.summary.unit,
        evaluation_split=plan.evaluation_split,
        trained=result.steps > 0,
    )
    metrics = {f"{plan.evaluation_split}.{name}": value for name, value in scores.values.items()}
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
    confusion_matrix(
        predictions, data.class_names, title, stamp, artifacts / "confusion_matrix.png"
    )
    learning_curve(result.epochs, title, stamp, artifacts / "learning_curve.png")
    write_thumbnails(predictions, data, artifacts / THUMBNAILS)
    return Judgement(metrics, list(scores.notes))
