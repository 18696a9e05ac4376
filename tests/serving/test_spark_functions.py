"""Functions for SQL and DataFrames give what the classifier gives, and never fail on an image."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import serving
from data.config import ImageConfig
from data.ingest import prepare
from data.local_spark import local_context
from data.prepared import PreparedData
from data.schema import SPLITS
from models.card import ModelCard
from serving import Classifier, ServingError
from serving.classifier import classifier_folder
from serving.spark import shipped
from serving.spark.functions import rows_per_batch
from serving.spark.shipped import ModelFiles, ShippedClassifier

TOLERANCE = 1e-5
_BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


@pytest.fixture(scope="module")
def spark() -> Iterator:
    from pyspark.sql import SparkSession

    with local_context(2, "tests") as context:
        yield SparkSession(context)


@pytest.fixture(scope="module")
def classify(spark, recorded_model: Path):
    return serving.register_udf(spark, "classify", recorded_model)


@pytest.fixture(scope="module")
def recorded(prepared: PreparedData, recorded_model: Path) -> dict[str, np.ndarray]:
    """Path below the source -> probabilities of Keras on the prepared pixels, as a run records."""
    classifier = Classifier.open(recorded_model, "keras")
    found: dict[str, np.ndarray] = {}
    for split in SPLITS:
        pixels = np.concatenate([block.pixels for block in prepared.shard(split).blocks()])
        paths = prepared.index(split).column("path").to_pylist()
        found |= dict(zip(paths, classifier.of_pixels(pixels), strict=True))
    return found


@pytest.fixture(scope="module")
def card(recorded_model: Path) -> ModelCard:
    return ModelFiles.read(recorded_model).card


def check(rows: list, recorded: dict[str, np.ndarray], card: ModelCard) -> None:
    """Compare rows with the fields path and found with the recorded predictions."""
    names, threshold = card.class_names, card.threshold.value
    assert len(rows) == len(recorded)
    decided = set()
    for row in rows:
        expected = recorded[row.path.rpartition("/cells/")[2] or row.path]
        found = row.found
        assert found.error is None
        assert [*found.probabilities] == [*names]
        assert [*found.probabilities.values()] == pytest.approx(expected, abs=TOLERANCE)
        assert found["class"] == names[int(expected.argmax())]
        positive = found.probabilities[names[0]] >= threshold
        assert found.decision == names[0 if positive else 1]
        decided.add(found.decision)
    assert decided == {*names}


@pytest.mark.spark
@pytest.mark.slow
def test_sql_on_binary_files_gives_the_recorded_predictions(
    spark, classify, cells: Path, recorded: dict[str, np.ndarray], card: ModelCard
) -> None:
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    images = reader.option("pathGlobFilter", "*.bmp").load(cells.as_uri())
    images.createOrReplaceTempView("cells")
    rows = spark.sql("SELECT path, classify(content) AS found FROM cells").collect()
    check(rows, recorded, card)
    classes = spark.sql("SELECT path, classify(content).class FROM cells").collect()
    assert {row.path: row["classify(content).class"] for row in classes} == {
        row.path: row.found["class"] for row in rows
    }
    by_path = images.select("path", classify("path").alias("found")).collect()
    assert {row.path: row.found for row in by_path} == {row.path: row.found for row in rows}


@pytest.mark.spark
@pytest.mark.slow
def test_sql_on_prepared_data_gives_the_recorded_predictions(
    spark, classify, recorded: dict[str, np.ndarray], prepared: PreparedData, card: ModelCard
) -> None:
    spark.read.parquet(prepared.uri + "/*-*.parquet").createOrReplaceTempView("prepared")
    columns = ("pixels", "pixels, height, width, channels")
    for given in columns:
        rows = spark.sql(f"SELECT path, classify({given}) AS found FROM prepared").collect()
        check(rows, recorded, card)


@pytest.mark.spark
@pytest.mark.slow
def test_prepared_data_of_another_size_are_resized(
    spark, classify, prepared: PreparedData, data_config, tmp_path: Path
) -> None:
    larger = data_config.model_copy(update={"image": ImageConfig(height=32, width=40)})
    prepare(larger, str(tmp_path / "larger"))
    frame = spark.read.parquet(f"{tmp_path}/larger/test-*.parquet")
    found = frame.select(
        classify("pixels", "height", "width", "channels").alias("own"),
        classify("pixels").alias("alone"),
    ).collect()
    assert found
    assert all(row.own.error is None and row.own.decision for row in found)
    assert {row.alone.error for row in found} == {"not an image"}


@pytest.mark.spark
@pytest.mark.slow
def test_unusable_values_have_an_error_and_do_not_fail_the_job(
    spark, classify, cell_files: list[Path], tmp_path: Path
) -> None:
    content = cell_files[0].read_bytes()
    named = tmp_path / "Zelle 100%25 ä細胞.bmp"
    named.write_bytes(content)
    values = [None, b"", b"no image", content[:200], content, b"\x89PNG\r\n\x1a\n" + b"\0" * 1720]
    frame = spark.createDataFrame([(n, v) for n, v in enumerate(values)], "n int, content binary")
    rows = frame.select("n", classify("content").alias("found")).orderBy("n").collect()
    errors = [row.found.error for row in rows]
    assert errors[:3] == ["no image: the value is null", "empty file", "not an image"]
    assert errors[3].startswith("damaged image: ")
    assert errors[4] is None
    assert errors[5] is not None, "a PNG signature is no pixel, whatever the length of the file"
    for row in rows:
        assert (row.found["class"] is None) == (row.found.error is not None)
        assert (row.found.probabilities is None) == (row.found.error is not None)
    paths = [
        str(named),
        named.as_uri(),
        f"file:{named}",
        str(tmp_path / "missing.png"),
        "s3a://b/c",
    ]
    frame = spark.createDataFrame([(n, v) for n, v in enumerate(paths)], "n int, path string")
    found = [row.found for row in frame.select(classify("path").alias("found")).collect()]
    assert found[0].error is None
    assert found[0] == found[2]
    assert "there is no such file" in found[3].error
    assert found[4].error
    query = "SELECT classify(X'0102', 1, 1, 3).error, classify(X'010203', 1, 1, NULL).error"
    assert spark.sql(query).first()[:] == (
        "2 bytes are not the pixels of 1 x 1 x 3: give pixels, height, width and channels of "
        "prepared data",
        "no image: the value is null",
    )


@pytest.mark.spark
@pytest.mark.slow
def test_an_image_is_classified_once_for_all_fields(spark, classify, cell_files) -> None:
    frame = spark.createDataFrame([(cell_files[0].read_bytes(),)], "content binary")
    frame.createOrReplaceTempView("one")
    query = "SELECT found.class, found.error FROM (SELECT classify(content) AS found FROM one)"
    plan = spark.sql(query)._jdf.queryExecution().executedPlan().toString()
    assert plan.count("ArrowEvalPython") == 1
    assert "pythonUDF1" not in plan
    assert spark.sql(query).first().error is None


@pytest.mark.spark
@pytest.mark.slow
def test_other_columns_are_refused_in_a_sentence(spark, classify) -> None:
    with pytest.raises(Exception, match="this function takes one column of images"):
        spark.sql("SELECT classify(X'01', 'a')").collect()


@pytest.mark.spark
@pytest.mark.slow
def test_batches_are_bounded_and_a_smaller_setting_is_kept(spark, recorded_model: Path) -> None:
    spark.conf.set(_BATCH, "10000")
    serving.classify_udf(spark, recorded_model)
    assert spark.conf.get(_BATCH) == "1000"
    spark.conf.set(_BATCH, "7")
    serving.classify_udf(spark, Classifier.open(recorded_model))
    assert spark.conf.get(_BATCH) == "7"
    spark.conf.set(_BATCH, "1000")
    sizes = [ImageConfig(height=side, width=side) for side in (24, 224, 1000)]
    assert [*map(rows_per_batch, sizes)] == [1000, 111, 64]


def test_a_session_of_spark_connect_is_refused(recorded_model: Path) -> None:
    with pytest.raises(ServingError, match="Spark Connect cannot send a model"):
        serving.register_udf(SimpleNamespace(), "classify", recorded_model)


@pytest.mark.slow
def test_a_model_is_a_folder_a_classifier_or_a_name(recorded_model: Path, monkeypatch) -> None:
    inner = classifier_folder(recorded_model)
    found = {"cells@best": SimpleNamespace(folder=inner)}
    finding = SimpleNamespace(find_model=lambda name: found[name])
    monkeypatch.setitem(sys.modules, "serving.find", finding)
    models = (recorded_model, str(inner), Classifier.open(recorded_model), "cells@best")
    assert len({ModelFiles.read(model).digest for model in models}) == 1
    assert ModelFiles.read(Classifier.open(recorded_model, "keras")).engine == "keras"


@pytest.mark.slow
def test_a_process_opens_each_model_once(recorded_model: Path, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "_opened", {})
    files = ModelFiles.read(recorded_model)
    assert {*files.content} == {"model_card.json", "network.xml", "network.bin"}
    card = files.card.model_copy(update={"temperature": 2.0})
    others = ModelFiles(card, files.engine, {**files.content, "model_card.json": _json(card)})
    assert files.digest != others.digest, "the card is part of the model"

    def sent(one: ModelFiles) -> ShippedClassifier:
        content = SimpleNamespace(value=one.content)
        return ShippedClassifier(one.digest, one.engine, content)

    opened = [sent(one).open() for one in (files, others, files, others)]
    assert opened[0] is opened[2]
    assert opened[1] is opened[3]
    assert opened[1].card.temperature == 2.0
    assert opened[0].network.engine == "openvino"
    assert not list(opened[0].network.folder.parent.glob(opened[0].network.folder.name))


def _json(card) -> bytes:
    return card.model_dump_json().encode()


@pytest.mark.slow
def test_importing_serving_imports_no_heavy_package() -> None:
    code = (
        "import sys, serving, serving.spark\n"
        "heavy = {'pyspark', 'mlflow', 'tensorflow', 'scipy', 'sklearn', 'pandas'}\n"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
