from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from pydantic import ValidationError

from backends.base import TrainingTask
from backends.inference import cross_entropy
from backends.pandas_udf import PandasUdf, PandasUdfOptions
from data.prepared import PreparedData
from experiments.records import RunRecord
from models import ModelConfig, OptimizerConfig, build, checksum
from models.card import NETWORK
from tests.backends.conformance import (
    BackendConformance,
    Harness,
    harness,
    predictions,
    probabilities,
)

__all__ = ["harness"]

pytestmark = pytest.mark.spark


class TestPandasUdf(BackendConformance):
    name = "pandas_udf"


def task(prepared: PreparedData, options: PandasUdfOptions) -> TrainingTask:
    return TrainingTask(prepared, ModelConfig(), OptimizerConfig(), 1, 16, 2, 0, options=options)


@pytest.mark.slow
@pytest.mark.long
def test_own_network_is_frozen_scored_in_order_and_its_features_are_kept(
    harness: Harness, prepared: PreparedData, tmp_path: Path
) -> None:
    def run() -> RunRecord:
        values = {"cache": str(tmp_path / "cache"), "engine": "openvino", "preset": "seed"}
        return harness("pandas_udf", backend_options={"pandas_udf": values})

    record = run()
    initial = build(ModelConfig(), prepared.image_shape, 2, seed=0).get_weights()
    assert record.tags["initial_weights.checksum"] == checksum(initial)
    assert record.epochs[0]["loss"] < np.log(2)
    assert record.metrics["train.steps"] <= 5
    assert record.metrics["train.samples_seen"] == prepared.rows("train")
    images = prepared.shard("test").read()
    assert predictions(record, tmp_path)["image_id"].tolist() == images.image_ids
    model = _kept_model(record, tmp_path)
    for one, other in zip(model.get_weights()[:-2], initial[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    # OpenVINO may compute in 16 bits.
    expected = model.predict(images.pixels, verbose=0)
    np.testing.assert_allclose(probabilities(record, tmp_path), expected, atol=0.05)
    unseen = prepared.shard("validation").read()
    loss = cross_entropy(model.predict(unseen.pixels, verbose=0), unseen.labels)
    assert record.epochs[0]["validation_loss"] == pytest.approx(loss, rel=0.05)

    again = run()
    np.testing.assert_allclose(
        probabilities(again, tmp_path), probabilities(record, tmp_path), atol=1e-6
    )
    for split in ("train", "validation"):
        assert any(f"'{split}' come from the cache" in note for note in again.notes)


def _kept_model(record: RunRecord, folder: Path) -> Any:
    import keras

    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, NETWORK, str(folder))
    return keras.saving.load_model(path, safe_mode=True)


def test_missing_backbone_file_is_refused_before_anything_starts(prepared: PreparedData) -> None:
    options = PandasUdfOptions.model_validate({"backbone": "nowhere/backbone.keras"})
    reason = PandasUdf().unsupported(task(prepared, options))
    assert reason == "there is no backbone file nowhere/backbone.keras"
    assert PandasUdf().unsupported(task(prepared, PandasUdfOptions())) is None


def test_individual_values_override_the_preset() -> None:
    classifier = PandasUdfOptions(preset="seed", reg_param=0.0).classifier
    assert (classifier.max_iter, classifier.reg_param, classifier.elastic_net) == (5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cache": "s3://bucket/features"}, "the cache must be a folder"),
        ({"backbone": {"name": "small_cnn", "weights": "none"}}, "omit weights"),
        ({"engine": "torch"}, "'auto', 'keras', 'openvino' or 'bfloat16'"),
    ],
)
def test_invalid_options_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PandasUdfOptions.model_validate(values)


def test_batches_are_bounded_by_the_bytes_of_an_image(prepared: PreparedData) -> None:
    image_bytes = int(np.prod(prepared.image_shape))
    options = PandasUdfOptions(batch_bytes=10 * image_bytes + 1)
    conf = PandasUdf().spark_conf(task(prepared, options))
    assert conf["spark.sql.execution.arrow.maxRecordsPerBatch"] == "10"
