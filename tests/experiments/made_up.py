"""Runs with specified predictions, without MLflow."""

from pathlib import Path

import numpy as np
import pandas as pd

from experiments.comparison.runs import ComparedRun
from experiments.records import RunRecord


def made_up(
    patients: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    seed: int,
    started_ms: int = 0,
    unit: str | None = None,
    metrics: dict[str, float] | None = None,
) -> ComparedRun:
    """Return a run with ``scores`` for the positive class; old records have no ``unit``."""
    record = RunRecord(
        experiment="x",
        backend="x",
        seed=seed,
        run_id="x",
        tracking_uri="",
        status="FINISHED",
        metrics=metrics or {},
        tags={} if unit is None else {"split.unit": unit},
    )
    run = ComparedRun(record, {"positive_class": "sick"}, started_ms, None, Path())
    run.__dict__["predictions"] = pd.DataFrame(
        {
            "image_id": np.arange(len(labels)).astype(str),
            "patient_id": patients,
            "label": labels,
            "probability_healthy": 1 - scores,
            "probability_sick": scores,
        }
    )
    return run


def made_up_groups() -> dict[str, list[ComparedRun]]:
    """Return runs on 30 patients with 20 images each: two equal backends, one without skill."""
    skill = {"one": [0.85] * 3, "other": [0.85] * 3, "blind": [0.55] * 3}
    return groups_of_skill(skill, np.random.default_rng(3))


def groups_of_skill(
    skill: dict[str, list[float]], generator: np.random.Generator
) -> dict[str, list[ComparedRun]]:
    """Return runs by name; ``skill`` is the share of correct images for each seed."""
    patients = np.repeat([f"p{number:02}" for number in range(30)], 20)
    labels = np.repeat(generator.permutation(30) % 2, 20)
    return {
        name: [
            made_up(
                patients,
                labels,
                np.where(generator.random(600) < share, labels, 1 - labels) * 0.8 + 0.1,
                seed,
            )
            for seed, share in enumerate(shares)
        ]
        for name, shares in skill.items()
    }
