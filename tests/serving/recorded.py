"""A recorded model that costs no training: seeded weights, which give different images different
probabilities."""

from pathlib import Path

import numpy as np

from data.config import DataConfig
from data.prepared import PreparedData
from models.card import DataOrigin, ModelCard, Part, Range, Threshold
from models.image_measures import measure


def record(prepared: PreparedData, folder: Path) -> None:
    """Write an MLflow model of an untrained network to ``folder/model``."""
    from experiments.runs.saving import Engines, save
    from experiments.tracking.model import save_model
    from models import build
    from models.config import ModelConfig

    network = folder / "network"
    network.mkdir()
    model = build(ModelConfig(name="small_cnn"), prepared.image_shape, 2, seed=3)
    # The weights of an untrained output layer give all images nearly the same probability.
    model.layers[-1].set_weights([20 * values for values in model.layers[-1].get_weights()])
    save(model, prepared, network)
    pixels = np.concatenate([block.pixels for block in prepared.shard("train").blocks()])
    positive = model.predict(pixels, verbose=0)[:, 0]
    ranges = {name: _range(values) for name, values in measure(pixels).items()}
    card = ModelCard(
        name="synthetic-keras_local",
        class_names=prepared.class_names,
        positive_class=prepared.class_names[0],
        image=DataConfig.model_validate(prepared.summary.config).image,
        # Half of the images are on either side, whatever the probabilities are.
        threshold=Threshold(value=float(np.median(positive)), rule="youden"),
        data=DataOrigin(
            name="synthetic cells",
            fingerprint="f" * 64,
            split_checksum="s" * 64,
            synthetic=True,
            unit="patient",
            parts={"train": Part(images=len(pixels), units=10)},
        ),
        backend="keras_local",
        network="small_cnn",
        seed=3,
        epochs=0,
        trained_at="2026-11-27T10:00:00+00:00",
        training_ranges=ranges
        | {"width": Range(low=40, high=60), "height": Range(low=40, high=60)},
        engine_difference=Engines.read(network).difference,
    )
    save_model(network, card, folder / "model")


def _range(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))
