"""Model card of a finished run."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from backends import create
from data.config import DataConfig
from data.prepared import PreparedData
from data.schema import SPLITS
from experiments.config import Experiment, RunPlan
from experiments.records import THRESHOLD
from experiments.runs.judgement import RULE, TEMPERATURE
from experiments.runs.outcome import Outcome
from experiments.runs.saving import Engines
from experiments.tracking import provenance
from experiments.tracking.registration import model_name
from models.card import DataOrigin, ModelCard, Part, Range, Score, Threshold

#: Metrics on the card.
_SCORES = ("f1", "sensitivity", "specificity", "roc_auc")
#: Packages that decode images and compute probabilities where the model is used.
_PACKAGES = ("openvino", "pillow", "simplejpeg")
_MISSING = "missing"
#: Difference of probabilities up to which they are considered equal.
_AGREES = 1e-5


def card_of(
    plan: RunPlan,
    data: PreparedData,
    outcome: Outcome,
    engines: Engines,
    *,
    run_id: str = "",
    ranges: Mapping[str, Range] | None = None,
) -> ModelCard:
    """Return the model card of a run that has finished and was scored on the test images.

    Parameters
    ----------
    plan, data, outcome
        Plan, data and outcome of the run.
    engines
        Agreement of the two forms of the network.
    run_id
        Id of the run in the record; empty if it is not known yet.
    ranges
        Ranges of the training images, by property.
    """
    experiment, summary, scores = plan.experiment, data.summary, _scores(outcome.metrics)
    packages = (*create(plan.backend).packages, *_PACKAGES)
    versions = provenance.versions(packages)
    return ModelCard(
        name=model_name(experiment.name, plan.backend),
        class_names=data.class_names,
        positive_class=experiment.positive_class,
        image=DataConfig.model_validate(summary.config).image,
        threshold=Threshold(
            value=outcome.metrics[THRESHOLD],
            rule=outcome.tags[RULE],
            sensitivity=scores.get("sensitivity"),
            specificity=scores.get("specificity"),
        ),
        temperature=outcome.metrics.get(TEMPERATURE, 1.0),
        data=DataOrigin(
            name="synthetic cells" if summary.synthetic else summary.layout,
            fingerprint=summary.fingerprint,
            split_checksum=summary.split_checksum,
            synthetic=summary.synthetic,
            unit=summary.unit,
            parts={split: _part(data, split) for split in SPLITS},
        ),
        scores=scores,
        backend=plan.backend,
        network=_network(experiment),
        seed=plan.seed,
        epochs=experiment.epochs,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run_id,
        code_commit=provenance.code_commit(),
        versions={name: found for name, found in versions.items() if found != _MISSING},
        training_ranges=dict(ranges or {}),
        engine_difference=engines.difference,
        limits=_limits(plan, data, outcome, engines),
    )


def _network(experiment: Experiment) -> str:
    """Return the name of the network, with that of its backbone but without the path of a file."""
    backbone = experiment.model.backbone
    name = experiment.model.name
    return name if backbone is None else f"{name} ({Path(backbone.name).stem})"


def _limits(
    plan: RunPlan, data: PreparedData, outcome: Outcome, engines: Engines
) -> tuple[str, ...]:
    limits = []
    if data.summary.synthetic:
        limits.append("The images are synthetic cells: the scores do not apply to patients.")
    limits.append(
        "All images are from one source: with images of other sites, devices or stains, the scores "
        "can be lower."
    )
    if data.summary.unit == "image":
        limits.append(
            "The images were not split by patient, so those of one patient can be on both sides of "
            "the split: with new patients, the scores can be lower."
        )
    if (difference := engines.recorded_difference) is not None and difference > _AGREES:
        limits.append(
            f"The probabilities differ from those of the recorded predictions by up to "
            f"{difference:.1g}, because the backend {plan.backend} computes in another precision."
        )
    if engines.reason:
        limits.append(f"The network runs on Keras only: {engines.reason}.")
    return (*limits, *outcome.notes)


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
