"""Runs with everything that a report shows: scores, seconds, losses, samples and thumbnails."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from experiments.comparison.runs import ComparedRun
from experiments.records import RunRecord

#: Backends with the log odds of a right probability, total seconds and way of synchronization.
BACKENDS = {
    "keras_local": (1.9, 100.0, "none: one process"),
    "elephas": (1.8, 48.0, "weights averaged once per epoch (local SGD)"),
    "bigdl": (1.2, 70.0, "gradients averaged over all workers at every step"),
    "torch_distributor": (1.9, 66.0, "gradients averaged over all workers at every step"),
    "gradient_boosting": (1.0, 20.0, "histograms summed over all workers"),
    "majority": (0.0, 8.0, "none: no training"),
}
_EPOCHS = 4


def made_up_runs(
    patients: int = 26,
    images: int = 40,
    seeds: int = 3,
    backends: tuple[str, ...] = tuple(BACKENDS),
    synthetic: bool = False,
) -> list[ComparedRun]:
    """Return finished runs of several backends on the same images, and one refused run."""
    generator = np.random.default_rng(11)
    names = np.repeat([f"p{number:02}" for number in range(patients)], images)
    labels = np.repeat(np.arange(patients) % 2, images)
    hard = np.repeat(generator.normal(0, 0.4, patients), images) + generator.normal(
        0, 1.2, patients * images
    )
    runs = [
        _run(backend, seed, (names, labels, hard), generator, synthetic)
        for seed in range(seeds)
        for backend in backends
    ]
    first = runs[0].record
    refused = first.model_copy(
        update={
            "backend": "pandas_udf",
            "run_id": "refused",
            "status": "FAILED",
            "refused": True,
            "reason": "refused: pandas_udf trains a frozen backbone only",
        }
    )
    return [*runs, replace(runs[0], record=refused)]


def _run(
    backend: str,
    seed: int,
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
    generator: np.random.Generator,
    synthetic: bool,
) -> ComparedRun:
    names, labels, hard = data
    skill, seconds, synchronisation = BACKENDS[backend]
    seconds *= generator.uniform(0.97, 1.03)
    odds = (skill + hard + generator.normal(0, 0.4, len(labels))) * (2 * labels - 1)
    scores = 1 / (1 + np.exp(-odds)) if skill else np.full(len(labels), 0.51)
    record = RunRecord(
        experiment="made-up",
        backend=backend,
        seed=seed,
        workers=2,
        run_id=f"{backend}-{seed}",
        tracking_uri="",
        status="FINISHED",
        metrics=_metrics(seconds, labels, scores),
        tags=_tags(backend, synchronisation, synthetic),
    )
    params = {"positive_class": "sick", "workers": "2", "epochs": str(_EPOCHS), "batch_size": "32"}
    params |= {"model.name": "small_cnn", "optimizer.name": "adam", "price.core_hour": "0.05"}
    run = ComparedRun(record, params, seed, None, Path())
    frame = pd.DataFrame({"image_id": [f"{name}_{row}" for row, name in enumerate(names)]})
    frame = frame.assign(patient_id=names, label=labels, probability_healthy=1 - scores)
    frame = frame.assign(probability_sick=scores)
    run.__dict__["predictions"] = frame
    run.__dict__["epochs"] = _epochs(seconds, generator)
    run.__dict__["series"] = _series(seconds, generator)
    wrong = frame[(scores > 0.5) != labels].head(400)
    pictures = [_picture(row) for row in wrong.index]
    run.__dict__["thumbnails"] = wrong[["image_id", "patient_id", "label"]].assign(png=pictures)
    return run


def _tags(backend: str, synchronisation: str, synthetic: bool) -> dict[str, str]:
    return {
        "backend": backend,
        "split.unit": "patient",
        "split.checksum": "s",
        "data.fingerprint": "f",
        "code.commit": "0123456",
        "synthetic": str(synthetic).lower(),
        "synchronisation": synchronisation,
        "resources.method": "process tree sampled every 0.5 s",
        "machine.cpu": "AMD EPYC 7763",
        "machine.cores": "2",
        "machine.memory_gib": "16.0",
        "versions.python": "3.12.3",
        "versions.numpy": "2.1.3",
        **({"versions.elephas": "6.0.0"} if backend == "elephas" else {}),
    }


def _metrics(seconds: float, labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    guess = scores > 0.5
    hits, errors = float((guess & (labels == 1)).sum()), float((guess != labels).sum())
    return {
        "test.f1": 2 * hits / (2 * hits + errors),
        "test.brier": float(((scores - labels) ** 2).mean()),
        "decision.threshold": 0.5,
        "time.total_s": seconds,
        "time.spark_start_s": 0.1 * seconds,
        "time.load_s": 0.05 * seconds,
        "time.fit_s": 0.7 * seconds,
        "time.predict_s": 0.1 * seconds,
        "train.images_per_s": 9000 / seconds,
        "resources.cpu_s": 1.6 * seconds,
        "resources.peak_memory_bytes": 2e9 + 1e7 * seconds,
    }


def _epochs(seconds: float, generator: np.random.Generator) -> pd.DataFrame:
    loss = 0.3 + 0.4 / np.arange(1, _EPOCHS + 1) + generator.normal(0, 0.01, _EPOCHS)
    frame = pd.DataFrame({"validation.loss": loss, "train.epoch_s": 0.7 * seconds / _EPOCHS})
    return frame.set_index(np.arange(1, _EPOCHS + 1))


def _series(seconds: float, generator: np.random.Generator) -> pd.DataFrame:
    at = np.arange(0, seconds, 0.5)
    memory = 2e9 * (1 - np.exp(-at / 10)) + generator.normal(0, 2e7, len(at))
    return pd.DataFrame({"at_s": at, "cpu_s": 1.6 * at, "memory_bytes": memory})


def _picture(number: int) -> bytes:
    shade = np.random.default_rng(number).integers(60, 200, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shade).resize((64, 64)).save(buffer, "PNG")
    return buffer.getvalue()
