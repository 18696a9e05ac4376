"""A model that costs no training, a store that records it, and images that it can classify."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.config import ImageConfig
from data.store_address import sqlite_uri
from models.card import NETWORK, DataOrigin, ModelCard, Part, Score, Threshold
from tests.conftest import shared

CLASSES = ("all", "hem")
#: Name under which the model is registered.
NAME = "cells-keras_local"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every test work in a folder of its own, without the store of the user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a classifier with seeded weights, as below the artifacts of a run."""

    def make(folder: Path) -> None:
        write_classifier(folder / "model/artifacts/classifier")

    return shared(tmp_path_factory, "predict-model", make) / "model/artifacts/classifier"


def write_classifier(folder: Path) -> None:
    """Write a classifier of 24 x 24 color images, whose threshold is not 0.5."""
    from models import build, openvino_form
    from models.config import ModelConfig

    shape = (24, 24, 3)
    model = build(ModelConfig(name="small_cnn"), shape, 2, seed=3)
    # The weights of an untrained last layer give all images nearly the same probability.
    kernel, _ = model.layers[-1].get_weights()
    # The second values bring half of the images to either side of the threshold.
    model.layers[-1].set_weights([20 * kernel, np.array([2.0, 0.0])])
    folder.mkdir(parents=True)
    model.save(folder / NETWORK)
    openvino_form.convert(model, shape).write(folder)
    card_of().write(folder)


def card_of(threshold: float = 0.3) -> ModelCard:
    return ModelCard(
        name=NAME,
        class_names=CLASSES,
        positive_class="all",
        image=ImageConfig(height=24, width=24),
        threshold=Threshold(
            value=threshold,
            rule="0.5" if threshold == 0.5 else "sensitivity=0.95",
            sensitivity=Score(value=0.95, low=0.9, high=0.98),
            specificity=Score(value=0.88, low=0.8, high=0.93),
        ),
        data=DataOrigin(
            name="cells",
            fingerprint="f" * 64,
            split_checksum="s" * 64,
            synthetic=False,
            unit="patient",
            parts={"train": Part(images=100, units=10), "test": Part(images=40, units=4)},
        ),
        scores={"f1": Score(value=0.9, low=0.8, high=0.95)},
        backend="keras_local",
        network="small_cnn",
        seed=3,
        epochs=0,
        trained_at="2026-11-27T10:00:00+00:00",
        engine_difference=0.0,
    )


@dataclass(frozen=True)
class Recorded:
    """A store with a registered model."""

    uri: str
    #: Runs with the versions 1 and 2, and a run without a model.
    first: str
    second: str
    without: str


@pytest.fixture(scope="session")
def recorded(
    model_folder: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recorded:
    """A store with two versions, of which the first has the alias ``best``."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("recorded")
    shutil.copy2(empty_store, folder / "mlflow.db")
    uri = sqlite_uri(folder / "mlflow.db")
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("cells", str(folder / "artifacts"))
    client.create_registered_model(NAME, description="a model of cells")
    runs: list[str] = []
    for _ in range(2):
        run = client.create_run(experiment, run_name="keras_local-seed0")
        artifacts = Path(run.info.artifact_uri) / "model"
        shutil.copytree(model_folder.parents[1], artifacts)
        client.create_model_version(NAME, str(artifacts), run.info.run_id)
        runs.append(run.info.run_id)
    client.set_registered_model_alias(NAME, "best", "1")
    client.create_registered_model("other")
    without = client.create_run(experiment, run_name="comparison-cells").info.run_id
    return Recorded(uri, runs[0], runs[1], without)


@pytest.fixture
def make_image(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes an image with seeded pixels and returns its path."""

    def make(path: str | bytes, seed: int = 0, mode: str = "RGB", size: int = 40) -> Path:
        place = Path(os.fsdecode(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(image_bytes(seed, mode, size, place.suffix))
        return place

    return make


def image_bytes(seed: int, mode: str = "RGB", size: int = 40, suffix: str = ".png") -> bytes:
    """Return the content of an image file with blocks of seeded colors."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((size, size), Image.Resampling.NEAREST)
    file = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(file, "PNG")
        return file.getvalue()
    kinds = {".jpg": "JPEG", ".tif": "TIFF", ".gif": "GIF", ".bmp": "BMP"}
    image.convert(mode).save(file, kinds.get(suffix, "PNG"))
    return file.getvalue()
