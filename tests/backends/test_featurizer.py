import os
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession

from backends.errors import BackendError
from backends.featurizer import classifier, engine, features, pixels, programs, source
from backends.featurizer.cache import FeatureCache
from backends.featurizer.engine import EngineChoice, choose, relative_error
from backends.featurizer.extraction import Extraction
from backends.featurizer.features import bound_batches, probabilities
from backends.spark_ml.featurizer import DeepImageFeaturizer
from chaos.damage import flip_a_bit
from data.errors import DataError
from data.local_spark import local_context
from data.prepared import PreparedData, open_prepared
from models.backbones import Backbone, build_backbone
from models.config import BackboneConfig

pytestmark = pytest.mark.spark

CONFIG = BackboneConfig(name="small_cnn")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with local_context(2, "featurizer tests") as context:
        session = SparkSession(context)
        settings = {**source.spark_conf(2), **features.spark_conf(24 * 24 * 3)}
        settings["spark.sql.shuffle.partitions"] = "2"
        for name, value in settings.items():
            session.conf.set(name, value)
        yield session
        session.stop()


@pytest.fixture(scope="module")
def backbone(prepared: PreparedData) -> Backbone:
    return build_backbone(CONFIG, prepared.image_shape)


@pytest.fixture(scope="module")
def expected(prepared: PreparedData, backbone: Backbone) -> np.ndarray:
    """Return features of the test images, computed by Keras in this process, in their order."""
    return keras_features(backbone, prepared.shard("test").read().pixels)


def keras_features(backbone: Backbone, images: np.ndarray) -> np.ndarray:
    return np.asarray(backbone.model(images.astype(np.float32), training=False))


def in_order(frame: DataFrame) -> np.ndarray:
    rows = sorted(frame.select("row", "features").collect())
    assert [row["row"] for row in rows] == list(range(len(rows)))
    return np.array([row["features"] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["keras", "openvino", "auto", "bfloat16"])
def test_features_are_those_of_keras_in_the_order_of_the_data(
    spark: SparkSession,
    prepared: PreparedData,
    backbone: Backbone,
    expected: np.ndarray,
    chosen: EngineChoice,
) -> None:
    extraction = Extraction(spark, prepared, backbone, engine=chosen)
    found = in_order(extraction.features("test"))
    assert chosen == "bfloat16" or extraction.program().precision == "float32"
    tolerance = 1e-5 if extraction.program().precision == "float32" else engine.TOLERANCE
    assert found.shape == expected.shape
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < tolerance
    assert extraction.images.value == len(expected)


@pytest.mark.slow
def test_object_stores_are_read_through_pyarrow(
    spark: SparkSession, prepared: PreparedData
) -> None:
    elsewhere = PreparedData(f"file://{prepared.uri}", prepared.summary, prepared.manifest)
    for split in ("train", "test"):
        one, other = (source.images(spark, data, split, 2) for data in (prepared, elsewhere))
        assert one.columns == other.columns
        assert sorted(one.collect()) == sorted(other.collect())
    assert source.images(spark, prepared, "train", 2).rdd.getNumPartitions() >= 2


@pytest.mark.slow
def test_a_python_worker_compiles_a_backbone_once(
    spark: SparkSession, prepared: PreparedData, backbone: Backbone
) -> None:
    def compiled(_: Iterator[int]) -> Iterator[tuple[int, dict[str, int]]]:
        yield os.getpid(), {key: id(forward) for key, forward in features._loaded.items()}

    def by_worker() -> dict[int, dict[str, int]]:
        return dict(spark.sparkContext.parallelize(range(8), 8).mapPartitions(compiled).collect())

    extraction = Extraction(spark, prepared, backbone, engine="openvino")
    extraction.features("train").count()
    extraction.features("train").foreach(lambda _: None)
    before = {pid: held for pid, held in by_worker().items() if held}
    assert before, "no probed worker had featurized"
    # Another DataFrame means another broadcast of the same backbone.
    extraction.features("test").foreach(lambda _: None)
    after = by_worker()
    assert all(list(held) == [extraction.program().key] for held in before.values())
    assert {pid: after[pid] for pid in before if pid in after} == {
        pid: held for pid, held in before.items() if pid in after
    }


@pytest.mark.slow
def test_arrow_batches_are_bounded_in_bytes(spark: SparkSession, prepared: PreparedData) -> None:
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    def sizes(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for batch in batches:
            yield pd.Series([sum(map(len, batch))] * len(batch))

    image_bytes = int(np.prod(prepared.image_shape))
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    try:
        bound_batches(spark, image_bytes, batch_bytes=3 * image_bytes)
        bound_batches(spark, image_bytes, batch_bytes=100 * image_bytes)
        images = source.images(spark, prepared, "train", 2)
        seen = images.select(pandas_udf(sizes, "long")("pixels")).toPandas().iloc[:, 0]
    finally:
        spark.conf.set(name, before)
    assert seen.max() == 3 * image_bytes


def test_batches_of_the_backbone_are_bounded_too() -> None:
    shape = (224, 224, 3)
    contents = [bytes(int(np.prod(shape)))] * 40
    parts = [len(part) for part in pixels.forward_batches(contents, [shape] * 40, shape)]
    assert sum(parts) == 40
    assert max(parts) * np.prod(shape) <= pixels.FORWARD_BYTES


@pytest.mark.slow
def test_cached_features_cost_no_inference(
    spark: SparkSession, prepared: PreparedData, expected: np.ndarray, tmp_path: Path
) -> None:
    cache = FeatureCache(str(tmp_path / "cache"))

    def extraction(seed: int, chosen: EngineChoice = "auto") -> Extraction:
        backbone = build_backbone(CONFIG, prepared.image_shape, seed)
        return Extraction(spark, prepared, backbone, engine=chosen, cache=cache)

    first, second, other = extraction(0), extraction(0), extraction(1)
    made = in_order(first.features("test"))
    assert first.images.value == len(expected)
    assert second.cached("test")
    np.testing.assert_array_equal(in_order(second.features("test")), made)
    assert second.images.value == 0
    assert any("come from the cache" in note for note in second.notes)
    assert not second.cached("train")
    assert not other.cached("test")
    assert not extraction(0, "keras").cached("test")


@pytest.mark.slow
def test_features_that_fail_halfway_are_not_kept(
    spark: SparkSession, prepared: PreparedData, tmp_path: Path
) -> None:
    from pyspark.sql import functions as F  # noqa: N812

    cache = FeatureCache(str(tmp_path))

    def failing() -> DataFrame:
        frame = source.images(spark, prepared, "test", 2)
        failure = F.when(F.col("row") < 3, F.col("row")).otherwise(F.raise_error(F.lit("torn")))
        return frame.select(failure.alias("row"))

    with pytest.raises(Exception, match="torn"):
        cache.write("key", prepared, "test", failing)
    assert not cache.holds("key", prepared, "test")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_an_engine_that_computes_something_else_is_passed_over(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = programs.load

    def wrong(program: programs.Program) -> programs.Forward:
        forward = load(program)
        factor = 1.02 if program.engine == "openvino" else 1.0
        return lambda images: factor * forward(images)

    monkeypatch.setattr(programs, "load", wrong)
    choice = choose(backbone, "auto")
    assert choice.program.engine == "keras"
    assert "openvino in float32 is not used" in " ".join(choice.notes)
    with pytest.raises(BackendError, match="no engine can run this backbone"):
        choose(backbone, "openvino")


def test_grey_images_are_repeated_and_others_refused() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    (image,) = next(pixels.forward_batches([grey.tobytes()], [(8, 8, 1)], (8, 8, 3)))
    np.testing.assert_array_equal(image, np.repeat(grey, 3, axis=2))
    flat = np.full((8, 8, 1), 7, np.uint8)
    (image,) = next(pixels.forward_batches([flat.tobytes()], [(8, 8, 1)], (20, 12, 3)))
    np.testing.assert_array_equal(image, np.full((20, 12, 3), 7))
    with pytest.raises(DataError, match="3 channels, the backbone requires 1"):
        next(pixels.forward_batches([bytes(192)], [(8, 8, 3)], (8, 8, 1)))
    with pytest.raises(DataError, match="191 bytes"):
        next(pixels.forward_batches([bytes(191)], [(8, 8, 3)], (8, 8, 3)))


@pytest.mark.slow
def test_lost_and_repeated_rows_are_noticed(spark: SparkSession) -> None:
    rows = [(number, [1.0, 0.0]) for number in (0, 1, 1)]
    frame = spark.createDataFrame(rows, "row bigint, features array<float>")
    with pytest.raises(RuntimeError, match="do not match the 3 images"):
        probabilities(frame, np.eye(2), np.zeros(2), rows=3)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_classifier_is_the_dense_layer_that_mllib_fitted(spark: SparkSession, classes: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % classes
    values = generator.normal(labels[:, None], 1, (60, 4)).astype(np.float32)
    rows = [(n, int(labels[n]), values[n].tolist()) for n in range(60)]
    frame = spark.createDataFrame(rows, "row bigint, label int, features array<float>").cache()
    fitted = classifier.fit(frame, classifier.PRESETS["seed"], classes)
    found = probabilities(frame, fitted.kernel, fitted.bias, 60)
    regression = LogisticRegression(maxIter=5, regParam=0.03, elasticNetParam=0.5)
    vector = array_to_vector("features").alias("features")
    model = regression.fit(frame.select("label", vector))
    expected = model.transform(frame.select("row", vector)).orderBy("row").collect()
    np.testing.assert_allclose(found, [r["probability"].toArray() for r in expected], atol=1e-6)
    assert (fitted.kernel.shape, fitted.bias.shape) == ((4, classes), (classes,))


@pytest.mark.slow
def test_class_weights_count_as_repeated_images_do(spark: SparkSession) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    values = generator.normal(labels[:, None], 2, (60, 4)).astype(np.float32)
    rows = [(int(labels[n]), values[n].tolist()) for n in range(60)]
    repeated = rows + [row for row in rows if row[0] == 2]
    config = classifier.ClassifierConfig(max_iter=200, reg_param=0.0, elastic_net=0.0)
    frames = [
        spark.createDataFrame(each, "label int, features array<float>").coalesce(1).cache()
        for each in (rows, repeated)
    ]
    weighted = classifier.fit(frames[0], config, 3, class_weights=(1.0, 1.0, 2.0))
    plain, expected = (classifier.fit(frame, config, 3) for frame in frames)
    np.testing.assert_allclose(weighted.kernel, expected.kernel, atol=2e-3)
    assert (
        np.abs(weighted.bias - expected.bias).max()
        < 2e-3
        < np.abs(plain.bias - expected.bias).max()
    )


def featurizer(**values: Any) -> DeepImageFeaturizer:
    return DeepImageFeaturizer(**{"backbone": "small_cnn", "engine": "openvino", **values})


def vectors(frame: DataFrame, column: str = "features") -> np.ndarray:
    return np.array([row[column].toArray() for row in frame.orderBy("image_id").collect()])


@pytest.mark.slow
def test_all_image_formats_give_the_same_features(
    spark: SparkSession, prepared: PreparedData, backbone: Backbone, tmp_path: Path
) -> None:
    from pyspark.sql import functions as F  # noqa: N812

    images = prepared.shard("test").read()
    for name, image in zip(images.image_ids[:6], images.pixels, strict=False):
        Image.fromarray(image).save(tmp_path / f"{name.replace('/', '_')}.png")
    parts = ["pixels", "height", "width", "channels"]
    rows = spark.read.parquet(f"{prepared.uri}/test-*.parquet")
    rows = rows.withColumn("image_id", F.translate("image_id", "/", "_"))
    rows = rows.where(F.col("image_id").isin([path.stem for path in tmp_path.iterdir()]))
    structs = rows.select("image_id", F.struct(*parts).alias("image"))
    files = spark.read.format("image").load(str(tmp_path))
    name = F.regexp_extract("image.origin", r"([^/]+)\.png$", 1)
    files = files.withColumn("image_id", name)
    found = [
        vectors(featurizer().transform(rows)),
        vectors(featurizer(inputCol="image").transform(structs)),
        vectors(featurizer(inputCol="image").transform(files)),
    ]
    order = np.argsort([name.replace("/", "_") for name in images.image_ids[:6]])
    expected = keras_features(backbone, images.pixels[:6][order])
    for one in found:
        assert relative_error(one, expected) < engine.TOLERANCE
        np.testing.assert_array_equal(one, found[0])


@pytest.mark.slow
def test_stage_can_be_saved_loaded_and_cross_validated(
    spark: SparkSession, prepared: PreparedData, tmp_path: Path
) -> None:
    rows = spark.read.parquet(f"{prepared.uri}/train-*.parquet").limit(60).cache()
    stage = featurizer(seed=4, batchBytes=50_000)
    pipeline = Pipeline(stages=[stage, LogisticRegression(maxIter=3)])
    validator = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=ParamGridBuilder().addGrid(stage.seed, [5]).build(),
        evaluator=BinaryClassificationEvaluator(),
        numFolds=2,
        seed=0,
    )
    best = validator.fit(rows)
    assert min(best.avgMetrics) > 0.5
    path = str(tmp_path / "pipeline")
    best.bestModel.write().save(path)
    loaded = PipelineModel.load(path)
    assert loaded.stages[0].getSeed() == 5
    assert loaded.stages[0].extractParamMap() == best.bestModel.stages[0].extractParamMap()
    np.testing.assert_array_equal(
        vectors(loaded.transform(rows), "probability"),
        vectors(best.bestModel.transform(rows), "probability"),
    )


@pytest.mark.slow
def test_columns_without_images_are_named(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", bytearray(3), 1)], "name string, data binary, height int")
    for column, message in (
        ("picture", "no column 'picture'"),
        ("data", "needs the columns width, channels, which are missing"),
        ("name", "column 'name' is string"),
    ):
        with pytest.raises(DataError, match=message):
            featurizer(inputCol=column).transform(frame)


@pytest.mark.slow
def test_file_that_spark_cannot_read_is_named(prepared: PreparedData, tmp_path: Path) -> None:
    damaged = open_prepared(copytree(prepared.uri, tmp_path / "damaged"))
    name = flip_a_bit(damaged)
    of_spark = RuntimeError("org.apache.parquet.io.ParquetDecodingException: could not verify")
    with (
        pytest.raises(DataError, match=rf"{name}, row group \d+, cannot be read"),
        source.naming_damaged_files(damaged, "train"),
    ):
        raise of_spark
    with (
        pytest.raises(RuntimeError, match="could not verify"),
        source.naming_damaged_files(prepared, "train"),
    ):
        raise of_spark
