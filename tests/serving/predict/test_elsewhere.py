"""Images in an object store, and images that Spark classifies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving import ServingError
from serving.predict import bulk
from serving.predict.engines import SPARK_FROM_IMAGES, Engine
from serving.predict.images import Images, table_of
from serving.predict.object_patterns import matching_objects
from tests.s3_server import BUCKET, ENVIRONMENT, client, s3_server, upload
from tests.serving.predict.test_command import call

MakeImage = Callable[..., Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.mark.slow
def test_images_and_results_in_an_object_store(
    server: str, make_image: MakeImage, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    for name in ("in/Größe 1.png", "in/deep/2.jpg", "in/3.bmp"):
        make_image(name, len(name))
    Path("in/list.csv").write_text("path,patient\n3.bmp,P1\ndeep/2.jpg,P1\n")
    upload(server, Path("in"), "x")
    assert call(model_folder, "in", "-o", "local.parquet")[0] == 0
    expected = {row["path"]: row for row in pq.read_table("local.parquet").to_pylist()}
    prefix = f"s3://{BUCKET}/x"
    single = (f"{prefix}/3.bmp", f"{prefix}/none.png", "in/3.bmp")
    for paths in ([prefix], [f"{prefix}/list.csv"], single):
        status, _, error = call(model_folder, *paths, "-o", f"s3://{BUCKET}/out/y.parquet")
        assert status == 0, error
        client(server).download_file(BUCKET, "out/y.parquet", "y.parquet")
        rows = pq.read_table("y.parquet").to_pylist()
        for row in rows:
            one = expected.get(row["path"].replace(prefix, "in"))
            if one is None:
                assert row["error"] == "there is no such file or folder"
            else:
                assert row["probability_all"] == one["probability_all"]
    assert [row["path"] for row in rows] == [single[0], single[2], single[1]]
    for pattern, names in {
        "*.[bp]??": ["3.bmp", "Größe 1.png"],
        "**/[0-9].*": ["3.bmp", "deep/2.jpg"],
        "d*p/**": ["deep/2.jpg"],
        "?eep*": [],
    }.items():
        assert matching_objects(f"{prefix}/{pattern}") == [f"{prefix}/{name}" for name in names]
    status, _, error = call(model_folder, f"{prefix}/**/*.jpg", "-o", "found.parquet")
    assert status == 0, error
    assert pq.read_table("found.parquet").column("path").to_pylist() == [f"{prefix}/deep/2.jpg"]
    status, _, error = call(model_folder, f"{prefix}/*.webp")
    assert (status, error) == (2, f"error: {prefix}/*.webp: no file matches the pattern\n")
    status, _, error = call(model_folder, f"s3://{BUCKET}/nowhere")
    assert status == 2
    assert error == f"error: s3://{BUCKET}/nowhere: there is no such file or folder\n"


def some(count: int, *, labeled: bool = False) -> Images:
    row = {"path": "a.png", "image_id": "a", "patient_id": None, "class_name": None}
    index: Any = object() if labeled else None
    return Images(table_of([row] * count), index=index)


def test_spark_is_used_for_many_images_unless_decided() -> None:
    many, few = some(SPARK_FROM_IMAGES + 1), some(SPARK_FROM_IMAGES)
    assert Engine().uses_spark(many)
    assert not Engine().uses_spark(few)
    assert not Engine().uses_spark(some(SPARK_FROM_IMAGES + 1, labeled=True))
    assert not Engine(spark=False).uses_spark(many)
    assert Engine(spark=True).uses_spark(few)
    assert Engine(master="spark://host:7077").uses_spark(few)
    assert not Engine(damaged="accept").uses_spark(many)
    with pytest.raises(ServingError, match="--no-spark and --master"):
        Engine(spark=False, master="local[2]").uses_spark(many)
    with pytest.raises(ServingError, match="--environment-archive is for a cluster"):
        Engine(archive="environment.tar.gz").uses_spark(few)


def test_rows_of_spark_must_be_those_of_the_images(model_folder: Path) -> None:
    from models.card import ModelCard

    rows = [
        {"path": f"{name}.png", "image_id": name, "patient_id": None, "class_name": None}
        for name in ("b", "a", "b")
    ]
    images, card = Images(table_of(rows)), ModelCard.read(model_folder)
    found = pa.table(
        {
            "path": ["/b.png", "/a.png", "/b.png"],
            "probability_all": [0.25, None, 0.25],
            "probability_hem": [0.75, None, 0.75],
            "error": [None, "not an image", None],
        }
    )
    results = bulk._results(images, card, ["/b.png", "/a.png", "/b.png"], found)
    assert results.scored.tolist() == [0, 2]
    assert results.probabilities[0].tolist() == [0.25, 0.75]
    assert results.rejects == [("a.png", "not an image")]
    with pytest.raises(ServingError, match="returned 3 rows for 1 images"):
        bulk._results(images, card, ["/b.png"], found)
    with pytest.raises(ServingError, match="returned 3 rows for 3 images"):
        bulk._results(images, card, ["/a.png", "/b.png", "/b.png"], found)


@pytest.mark.spark
@pytest.mark.slow
def test_spark_gives_the_results_of_this_process(make_image: MakeImage, model_folder: Path) -> None:
    for number in range(6):
        make_image(f"in/P{number % 2}_{number}.png", number)
    Path("in/P0_broken.png").write_bytes(b"broken")
    options = ("--group-pattern", r"(P\d)_")
    status, printed, error = call(model_folder, "in", *options, "--spark", "-o", "spark.parquet")
    assert status == 0, error
    assert printed.startswith("classifying 7 images on Spark\n")
    assert call(model_folder, "in", *options, "-o", "here.parquet")[0] == 0
    spark, here = (pq.read_table(f"{name}.parquet").to_pylist() for name in ("spark", "here"))
    for one, other in zip(spark, here, strict=True):
        assert one == pytest.approx(other, abs=1e-6, nan_ok=True)
    assert not Path("work/scores").exists()
