"""What every backend promises. A backend's test file inherits this and names the backend.

Everything goes through the harness, in a worker process on an embedded cluster, as a user's run
does: some of these frameworks exit the process or leave servers behind.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import experiments
from backends import create
from data.config import DataConfig
from data.prepared import PreparedData
from experiments.observer import Observer
from experiments.records import FINISHED, RunRecord
from experiments.tracking.model import NETWORK
from models import ModelConfig, build, checksum
from tests.intruder import Intruder

#: A learning rate that moves no float32 weight: what is predicted then is the untrained network.
STANDSTILL = 1e-30

Harness = Callable[..., RunRecord]
_THREE_EPOCHS = {"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 2e-3}}


@pytest.fixture(scope="module")
def harness(
    data_config: DataConfig, tmp_path_factory: pytest.TempPathFactory, tracking_uri: str
) -> Harness:
    """Run one backend on the small data set."""
    work = tmp_path_factory.mktemp("work")

    def run(backend: str, observer: Observer | None = None, **values: Any) -> RunRecord:
        overrides = {
            "name": "conformance",
            "data": data_config.model_dump(mode="json"),
            "epochs": 1,
            "batch_size": 16,
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "tracking_uri": tracking_uri,
            "time_limit": 400,
            **values,
        }
        (record,) = experiments.run(
            "synthetic", backends=[backend], overrides=overrides, work=work, observer=observer
        )
        assert record.status == FINISHED, f"{record.reason}\n{record.traceback}"
        return record

    return run


def predictions(record: RunRecord, folder: Path) -> pd.DataFrame:
    """Return the predictions of a record."""
    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, "predictions.parquet", str(folder))
    return pd.read_parquet(path)


def probabilities(record: RunRecord, folder: Path) -> np.ndarray:
    """Return the predicted probabilities of a record, (n, classes)."""
    return predictions(record, folder).filter(like="probability_").to_numpy()


def trained_weights(record: RunRecord, folder: Path) -> list[np.ndarray]:
    """Return the weights of the model that a record keeps."""
    import keras

    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, NETWORK, str(folder))
    return keras.saving.load_model(path, safe_mode=True).get_weights()


@pytest.mark.slow
class BackendConformance:
    """Tests of the contract."""

    name: ClassVar[str]
    reproducible: ClassVar[bool] = True
    #: Options of the backend for these tests.
    options: ClassVar[dict[str, Any]] = {}

    def run(self, harness: Harness, **values: Any) -> RunRecord:
        return harness(self.name, backend_options={self.name: self.options}, **values)

    @pytest.fixture(scope="class")
    @classmethod
    def attacked(cls, harness: Harness) -> tuple[RunRecord, Intruder]:
        """Three epochs, which another account attacks where this one may act as another."""
        intruder = Intruder()
        observer = intruder if os.geteuid() == 0 else None
        return cls().run(harness, observer=observer, **_THREE_EPOCHS), intruder

    def test_untrained_network_is_keras(
        self, harness: Harness, prepared: PreparedData, tmp_path: Path
    ) -> None:
        """Same initial weights by checksum, same forward pass, every image in its order."""
        record = self.run(harness, optimizer={"name": "sgd", "learning_rate": STANDSTILL})
        model = build(ModelConfig(), prepared.image_shape, 2, seed=0)
        expected_checksum = checksum(model.get_weights())
        assert record.tags["initial_weights.checksum"] == expected_checksum
        images = prepared.shard("test").read()
        got = predictions(record, tmp_path)
        assert got["image_id"].tolist() == images.image_ids
        expected = model.predict(images.pixels, verbose=0)
        found = got.filter(like="probability_").to_numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        kept = trained_weights(record, tmp_path)
        for one, other in zip(kept, model.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=STANDSTILL)

    def test_no_other_account_gets_at_a_run_while_it_trains(
        self, attacked: tuple[RunRecord, Intruder]
    ) -> None:
        """No server of it can be reached, no file of it read, and no secret is in sight."""
        if os.geteuid() != 0:
            pytest.skip("acts as another account, which root alone can do")
        record, intruder = attacked
        assert intruder.processes, "no epoch was told, so nothing was tried"
        assert intruder.got_in == []
        assert [listener for listener in intruder.listeners if listener.shared] == []
        if create(self.name).needs_spark:
            assert intruder.listeners, "the servers of Spark were not found"
            assert record.tags["network"] == "private"

    def test_training_learns_counts_and_repeats(
        self,
        attacked: tuple[RunRecord, Intruder],
        harness: Harness,
        prepared: PreparedData,
        tmp_path: Path,
    ) -> None:
        """Losses fall, no sample is lost without a word, the same seed gives the same model."""
        first, _ = attacked
        losses = [epoch["loss"] for epoch in first.epochs]
        assert losses[-1] < losses[0]
        assert first.epochs[-1]["validation_loss"] < np.log(2)
        whole = 3 * prepared.rows("train")
        if first.metrics["train.samples_seen"] != whole:
            assert first.notes, "samples were left out and nothing says so"
            assert first.metrics["train.samples_seen"] > 0.7 * whole
        second = self.run(harness, **_THREE_EPOCHS)
        one, two = (probabilities(record, tmp_path) for record in (first, second))
        if self.reproducible:
            np.testing.assert_array_equal(one, two)
        else:
            np.testing.assert_allclose(one, two, atol=0.25)
