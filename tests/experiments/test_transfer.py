"""Transfer learning with the command's entry point and every backend that trains a head."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import experiments
from data.config import DataConfig
from data.prepared import PreparedData, open_prepared
from experiments.errors import ExperimentError
from experiments.records import FINISHED, RunRecord
from models import ModelConfig, build, checksum
from models.card import NETWORK

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.long]

#: Backends whose packages may be missing.
OPTIONAL = ["torch_distributor"] if find_spec("torch") else []
#: One backend for each way to read a shard and build the model; TensorFlowOnSpark follows below.
HEAD_BACKENDS = ["keras_local", "elephas", "pandas_udf", "bigdl", *OPTIONAL]


@pytest.fixture(scope="module")
def backbone_file(prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backbone") / "small.keras"
    build(ModelConfig(), prepared.image_shape, 2, seed=3).save(path)
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def run(
    backends: list[str],
    model: dict[str, Any],
    data: DataConfig,
    tracking_uri: str,
    work: Path,
    **values: Any,
) -> list[RunRecord]:
    overrides = {
        "name": "transfer",
        "data": data.model_dump(mode="json"),
        "model": {"name": "transfer", **model},
        "epochs": 3,
        "batch_size": 16,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "tracking_uri": tracking_uri,
        "time_limit": 400,
        "warm_up": False,
        **values,
    }
    return experiments.run("synthetic", backends=backends, overrides=overrides, work=work)


def kept_model(record: RunRecord, folder: Path) -> Any:
    import keras

    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, NETWORK, str(folder))
    return keras.saving.load_model(path, safe_mode=True)


def test_every_backend_trains_a_head_on_the_same_features(
    backbone_file: Path,
    data_config: DataConfig,
    prepared: PreparedData,
    tracking_uri: str,
    work: Path,
    tmp_path: Path,
) -> None:
    model = {"backbone": str(backbone_file)}
    records = run(HEAD_BACKENDS, model, data_config, tracking_uri, work)
    assert {record.backend: record.reason for record in records} == dict.fromkeys(HEAD_BACKENDS, "")
    assert len({record.tags["initial_weights.checksum"] for record in records}) == 1
    assert len({record.tags["data.fingerprint"] for record in records}) == 1
    (derived,) = (work / "data").glob("*-small-*")
    features = open_prepared(derived)
    assert features.index("test").equals(prepared.index("test"))
    assert features.manifest.checksum == prepared.manifest.checksum
    for record in records:
        assert record.metrics["time.features_s"] == features.summary.features_s > 0
        assert record.epochs[-1]["validation_loss"] < np.log(2)
        folder = tmp_path / record.backend
        folder.mkdir()
        network = kept_model(record, folder)
        client = MlflowClient(record.tracking_uri)
        path = client.download_artifacts(record.run_id, "predictions.parquet", str(folder))
        predicted = pd.read_parquet(path).filter(like="probability_").to_numpy()
        expected = network.predict(prepared.shard("test").read().pixels, verbose=0)
        np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-4)


def test_trainable_backbone_is_trained_where_executors_have_no_file(
    backbone_file: Path, data_config: DataConfig, tracking_uri: str, work: Path, tmp_path: Path
) -> None:
    model = {"backbone": str(backbone_file), "trainable": True}
    backends = ["elephas", "tensorflowonspark", *OPTIONAL, "bigdl"]
    *trained, refused = run(backends, model, data_config, tracking_uri, work, epochs=1)
    assert refused.refused
    assert "cannot be translated" in refused.reason
    for record in trained:
        assert record.status == FINISHED, f"{record.reason}\n{record.traceback}"
        folder = tmp_path / record.backend
        folder.mkdir()
        weights = kept_model(record, folder).get_weights()
        assert checksum(weights) != record.tags["initial_weights.checksum"]
    assert len({record.tags["initial_weights.checksum"] for record in trained}) == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": "nowhere.keras"}, "there is no backbone file nowhere.keras"),
        ({"backbone": "ResNet51"}, "unknown backbone 'ResNet51'; did you mean 'ResNet50'"),
        (
            {"backbone": {"name": "ResNet50", "weights": "none"}},
            "needs at least 32 x 32: prepare larger images with --image-size",
        ),
    ],
)
def test_backbone_that_cannot_be_had_ends_the_request(
    model: dict[str, Any], message: str, data_config: DataConfig, tracking_uri: str, work: Path
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        run(["keras_local"], model, data_config, tracking_uri, work)
    assert isinstance(caught.value, ExperimentError)
    assert "\n" not in str(caught.value)
