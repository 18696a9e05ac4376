"""Spark ML Estimator: fitting through a backend, transforming, saving and loading."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from backends.errors import BackendError
from backends.spark_ml.data import write_prepared
from backends.spark_ml.estimator import BackendEstimator
from backends.spark_ml.model import BackendModel
from data.errors import DataError
from data.prepared import PreparedData
from models import ModelConfig, build

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def images(prepared: PreparedData) -> Iterator[DataFrame]:
    """Yield the training images as a DataFrame in a local session with two cores."""
    from data.local_spark import local_context

    with local_context(2, "estimator") as context:
        session = SparkSession(context)
        files = [f"{prepared.uri}/{part.name}" for part in prepared.summary.files["train"]]
        yield session.read.parquet(*files)


def test_pipeline_with_a_backend_learns_and_survives_saving(
    images: DataFrame, prepared: PreparedData, tmp_path: Path
) -> None:
    estimator = BackendEstimator(backend="keras_local", epochs=6, batchSize=16)
    fitted = Pipeline(stages=[estimator]).fit(images)
    history = fitted.stages[0].history
    assert history[-1].validation_loss < np.log(2)
    scored = fitted.transform(images).select("label", "prediction", "probability").toPandas()
    assert (scored["label"] == scored["prediction"]).mean() > 0.8
    fitted.save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    again = loaded.transform(images).select("probability").toPandas()
    np.testing.assert_array_equal(
        np.stack(scored["probability"].map(lambda v: v.toArray())),
        np.stack(again["probability"].map(lambda v: v.toArray())),
    )


def test_transform_is_the_networks_forward_pass(images: DataFrame, prepared: PreparedData) -> None:
    network = build(ModelConfig(), prepared.image_shape, 2, seed=5)
    weights = network.get_weights()
    model = BackendModel.trained(ModelConfig(), prepared.image_shape, 2, weights, [])
    rows = model.transform(images).select("image_id", "probability").toPandas()
    found = dict(zip(rows["image_id"], rows["probability"], strict=True))
    stored = prepared.shard("train").read()
    expected = network.predict(stored.pixels, verbose=0)
    for name, row in zip(stored.image_ids, expected, strict=True):
        np.testing.assert_allclose(found[name].toArray(), row, atol=1e-5)


def test_backend_on_the_session_of_the_data(images: DataFrame) -> None:
    model = BackendEstimator(backend="elephas", epochs=1, batchSize=16).fit(images)
    assert len(model.history) == 1
    assert model.history[0].images > 0


def test_spellings_of_a_group_stay_on_one_side(images: DataFrame, tmp_path: Path) -> None:
    written = F.when(F.rand(3) < 0.5, F.concat("group", F.lit("\u00e4"))).otherwise(
        F.concat(F.lit("\u00a0"), "group", F.lit("a\u0308"))
    )
    data = write_prepared(
        images.withColumn("group", written),
        str(tmp_path),
        pixels="pixels", label="label", group="group", validation=0.3, workers=1, seed=0,
    )  # fmt: skip
    groups = {row["group"] for row in images.select("group").distinct().collect()}
    assert {*data.manifest.assignments} == {f"{group}\u00e4" for group in groups}
    sides = [{*data.index(split).column("group").to_pylist()} for split in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {*data.manifest.assignments}


def test_estimator_survives_saving(images: DataFrame, tmp_path: Path) -> None:
    BackendEstimator(backend="keras_local", epochs=7).save(str(tmp_path / "estimator"))
    loaded = BackendEstimator.load(str(tmp_path / "estimator"))
    assert loaded.getOrDefault("epochs") == 7
    assert loaded.getOrDefault("backend") == "keras_local"


def test_data_and_backends_that_cannot_be_fitted_are_reported(images: DataFrame) -> None:
    with pytest.raises(DataError, match="lacks the columns patient"):
        BackendEstimator(groupCol="patient").fit(images)
    with pytest.raises(DataError, match="without gaps"):
        BackendEstimator(labelCol="height").fit(images)
    with pytest.raises(BackendError, match="no Keras network"):
        BackendEstimator(backend="majority").fit(images)
