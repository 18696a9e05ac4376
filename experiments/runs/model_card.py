"""Model card of a finished run."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow.compute as pc

from data.config import DataConfig
from data.prepared import PreparedData
from data.schema import SPLITS
from experiments.config import RunPlan
from experiments.runs.outcome import Outcome
from experiments.runs.saving import Engines
from experiments.tracking import provenance
from experiments.tracking.registration import model_name
from models.card import DataOrigin, ModelCard, Part, Score

#: Metrics on the card.
_SCORES = ("f1", "sensitivity", "specificity", "roc_auc")


def card_of(plan: RunPlan, data: PreparedData, outcome: Outcome, engines: Engines) -> ModelCard:
    """Return the model card of a run that has finished and was scored on the test images."""
    experiment, summary = plan.experiment, data.summary
    return ModelCard(
        name=model_name(experiment.name, plan.backend),
        class_names=data.class_names,
        positive_class=experiment.positive_class,
        image=DataConfig.model_validate(summary.config).image,
        data=DataOrigin(
            name="synthetic cells" if summary.synthetic else summary.layout,
            fingerprint=summary.fingerprint,
            split_checksum=summary.split_checksum,
            synthetic=summary.synthetic,
            unit=summary.unit,
            parts={split: _part(data, split) for split in SPLITS},
        ),
        scores=_scores(outcome.metrics),
        backend=plan.backend,
        network=experiment.model.name,
        seed=plan.seed,
        epochs=experiment.epochs,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_commit=provenance.code_commit(),
        engine_difference=engines.difference,
    )


def _part(data: PreparedData, split: str) -> Part:
    units = None
    if data.summary.unit != "image":
        units = pc.count_distinct(data.index(split).column("patient_id")).as_py()
    return Part(images=data.rows(split), units=units)


def _scores(metrics: Mapping[str, float]) -> dict[str, Score]:
    return {
        name: Score(
            value=metrics[f"test.{name}"],
            low=metrics.get(f"test.{name}_low"),
            high=metrics.get(f"test.{name}_high"),
        )
        for name in _SCORES
        if f"test.{name}" in metrics
    }
