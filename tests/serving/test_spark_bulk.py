"""Bulk scoring gives one row for each input, whatever interrupts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from data.errors import DataError, SparkdlError
from data.local_spark import local_context
from data.process_environment import for_spark
from experiments.spark.cluster import embedded_cluster
from models.card import ModelCard
from serving import Classifier, ServingError
from serving.classifier import classifier_folder
from serving.spark import bulk, output, parts
from serving.spark.bulk import score
from serving.spark.inputs import Inputs
from serving.spark.output import Request

ROOT = Path(__file__).parents[2]
#: Scores images in small parts with slow decoding, and appends a byte to a file for each decoding.
SLOW = """
import json, os, sys, time
from pathlib import Path
import serving.spark.bulk, serving.spark.parts
from data.images import decode

paths, model, folder, counted, seconds = json.loads(sys.argv[1])

def slowly(*arguments):
    time.sleep(seconds)
    with open(counted, "ab") as file:
        file.write(b".")
    return decode(*arguments)

write_part = serving.spark.parts.write_part

def write(part, model):
    serving.spark.parts.decode = slowly  # in every Python worker
    return write_part(part, model)

serving.spark.bulk.PART_ROWS = serving.spark.bulk._SMALLEST_PART = 6
serving.spark.bulk.write_part = write
serving.spark.bulk.score(paths, model, folder)
"""
#: Scores and classifies images with the executors of a cluster; prints where their code came from.
ON_CLUSTER = """
import json, sys
import pyarrow.parquet as pq
import serving
from serving.spark.bulk import score
from serving.spark.session import scoring_context

master, paths, model, folder = json.loads(sys.argv[1])
with scoring_context(master, 2) as context:
    score(paths, model, folder)
    from pyspark.sql import SparkSession
    spark = SparkSession(context)
    serving.register_udf(spark, "classify", model)
    spark.createDataFrame([(path,) for path in paths], "path string").createTempView("cells")
    query = "SELECT path, found.* FROM (SELECT path, classify(path) AS found FROM cells)"
    rows = [row.asDict() for row in spark.sql(query).collect()]
    def where(_):
        import os, serving.spark.parts
        return serving.spark.parts.__file__, os.getppid(), os.getcwd()
    places = context.parallelize([1, 2], 2).map(where).collect()
print(json.dumps([rows, places]))
"""


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One Spark context for the tests that do not start their own: `score` uses the active one."""
    with local_context(2, "tests"):
        yield


@pytest.fixture(scope="module")
def paths(cell_files: list[Path]) -> list[str]:
    return [str(path) for path in cell_files[:60]]


def without_spark(*arguments: object, **options: object) -> None:
    pytest.fail("Spark was used")


def expected(model: Path, paths: list[str]) -> np.ndarray:
    return Classifier.open(model).probabilities([Path(path) for path in paths])


def probabilities(table: pa.Table, card: ModelCard) -> np.ndarray:
    return np.stack([table[f"probability_{name}"].to_numpy() for name in card.class_names], axis=1)


@pytest.mark.spark
@pytest.mark.slow
def test_every_input_has_one_row_in_the_given_order(
    spark, recorded_model: Path, paths: list[str], tmp_path: Path
) -> None:
    named = tmp_path / "Zellen 100%25 ä細胞\n#?.bmp"
    named.write_bytes(Path(paths[0]).read_bytes())
    broken = tmp_path / "broken.bmp"
    broken.write_bytes(Path(paths[0]).read_bytes()[:300])
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    unreadable = {
        str(broken): "damaged image: ",
        str(tmp_path / "empty.png"): "empty file",
        str(tmp_path / "missing.png"): "cannot be read: No such file or directory",
        str(tmp_path): "is not a regular file",
        str(tmp_path / "pipe.png"): "is not a regular file",
    }
    given = [*paths[5:], str(named), *unreadable, *paths[:5], paths[7], *paths[3:9]]
    patients = [f"p{number % 7}" if number % 3 else None for number in range(len(given))]
    images = pa.table({"path": given, "patient_id": patients, "label": range(len(given))})
    reports: list[tuple[int, int]] = []
    table = score(
        images,
        recorded_model,
        tmp_path / "out",
        on_progress=lambda done, total: reports.append((done, total)),
    )
    card = ModelCard.read(classifier_folder(recorded_model))
    first, second = card.class_names
    assert table.column_names == [
        *("path", "class", "decision", f"probability_{first}", f"probability_{second}", "error"),
        *("patient_id", "label"),
    ]
    for name in images.column_names:
        assert table[name].to_pylist() == images[name].to_pylist()
    errors = table["error"].to_pylist()
    usable = [path for path in given if path not in unreadable]
    for path, error in zip(given, errors, strict=True):
        assert (error or "").startswith(unreadable.get(path, "")), path
        assert (error is None) == (path not in unreadable)
    for name in table.column_names[1:5]:
        assert [value is None for value in table[name].to_pylist()] == [
            error is not None for error in errors
        ]
    found = table.filter(pa.compute.is_null(table["error"]))
    classifier = Classifier.open(recorded_model)
    own = expected(recorded_model, usable)
    assert np.abs(probabilities(found, card) - own).max() < 1e-5
    predictions = classifier.predictions(own)
    assert found["class"].to_pylist() == [one.class_name for one in predictions]
    assert found["decision"].to_pylist() == [one.decision for one in predictions]
    assert set(found["decision"].to_pylist()) == {first, second}
    assert reports[-1] == (len(given), len(given))
    assert [*map(sorted, [reports])] == [reports], "progress does not go back"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "predictions.parquet",
        "request.json",
    ]
    written = pq.read_table(tmp_path / "out" / "predictions.parquet").replace_schema_metadata()
    assert written.equals(table.replace_schema_metadata())


@pytest.mark.spark
@pytest.mark.slow
def test_names_that_are_no_text_are_scored_and_shown(
    spark, recorded_model: Path, paths: list[str], tmp_path: Path
) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/cell\xff.bmp")
    Path(name).write_bytes(Path(paths[0]).read_bytes())
    table = score([name, paths[0]], recorded_model, tmp_path / "out")
    assert table["path"][0].as_py().endswith("/cell\\udcff.bmp")
    assert table["error"].null_count == 2
    assert table["decision"][0] == table["decision"][1]


@pytest.mark.spark
@pytest.mark.slow
def test_same_request_is_answered_without_spark_and_others_are_refused(
    spark, recorded_model: Path, paths: list[str], tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "out"
    first = score(paths[:8], recorded_model, folder)
    monkeypatch.setattr(bulk, "scoring_context", without_spark)
    assert score(paths[:8], recorded_model, folder).equals(first)
    classifier = Classifier.open(recorded_model)
    card = classifier.card.model_copy(update={"temperature": 1.5})
    other = Classifier(card, classifier.network)
    message = r"contains predictions of another request \(different: {}\); choose another folder"
    with pytest.raises(ServingError, match=message.format("images")):
        score(paths[:7], recorded_model, folder)
    with pytest.raises(ServingError, match=message.format("images")):
        score([*reversed(paths[:8])], recorded_model, folder)
    with pytest.raises(ServingError, match=message.format("model")):
        score(paths[:8], other, folder)
    monkeypatch.setattr(bulk, "recipe", lambda *_, **__: "older")
    with pytest.raises(ServingError, match=message.format("versions of the image decoders")):
        score(paths[:8], recorded_model, folder)
    assert pq.read_table(folder / "predictions.parquet").num_rows == 8


@pytest.mark.slow
def test_unusable_requests_are_refused_before_spark_starts(
    recorded_model: Path, paths: list[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(bulk, "scoring_context", without_spark)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    (tmp_path / "file").touch()
    clashing = pa.table({"path": paths[:1], "class": ["sick"]})
    requests: list[tuple] = [
        ([], recorded_model, tmp_path / "new", "there are no images to classify"),
        (pa.table({"file": paths}), recorded_model, tmp_path / "new", "needs a column path"),
        (clashing, recorded_model, tmp_path / "new", "has a column class, as the predictions have"),
        (paths, tmp_path, tmp_path / "new", "has no model"),
        (paths, recorded_model, foreign, "files that do not belong to predictions.* notes.txt"),
        (paths, recorded_model, tmp_path / "file", "is a file; give a folder"),
        (["ftp://host/a.png"], recorded_model, tmp_path / "new", "ftp:// addresses are not"),
    ]
    for images, model, folder, message in requests:
        with pytest.raises(SparkdlError, match=message) as caught:
            score(images, model, folder)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
    archive = tmp_path / "none.tar.gz"
    monkeypatch.undo()
    for master in ("spark://127.0.0.1:1", "spark://127.0.0.1:many", "spark://[::1]:1,127.0.0.1:1"):
        with pytest.raises(ServingError, match=r"^the Spark master spark://\S+ cannot be reached"):
            score(paths, recorded_model, tmp_path / "new", master=master)
    with pytest.raises(ServingError, match=r"there is no archive .*none\.tar\.gz: create it"):
        score(paths, recorded_model, tmp_path / "new", master="spark://h:1", archive=str(archive))


@pytest.mark.spark
@pytest.mark.slow
def test_full_disk_is_one_line_and_the_same_call_continues(
    spark, recorded_model: Path, paths: list[str], tmp_path: Path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def failing(part, model):
        with patch.object(parts, "_write", full):  # in a Python worker
            return parts.write_part(part, model)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "write_part", failing)
        with pytest.raises(DataError, match=r"^no space left on the disk of \S+: free some or"):
            score(paths[:8], recorded_model, tmp_path / "out")
    assert score(paths[:8], recorded_model, tmp_path / "out").num_rows == 8


def slow_score(paths: list[str], model: Path, folder: Path, seconds: float) -> subprocess.Popen:
    arguments = json.dumps([paths, str(model), str(folder), f"{folder}.counted", seconds])
    command = [sys.executable, "-c", SLOW, arguments]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_killed_call_goes_on_and_gives_the_table_of_an_undisturbed_one(
    recorded_model: Path, paths: list[str], tmp_path: Path
) -> None:
    given = [*paths, str(tmp_path / "missing.bmp"), *paths[:3]]
    folder = tmp_path / "killed"
    child = slow_score(given, recorded_model, folder, 0.1)
    deadline = time.monotonic() + 120
    while len(done := [*folder.glob("parts/*.parquet")]) < 3:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (folder / output.TABLE).exists()
    counted = Path(f"{folder}.counted")
    counted.unlink()
    assert slow_score(given, recorded_model, folder, 0).wait(180) == 0
    readable = len(given) - 1
    assert counted.stat().st_size <= readable - 5 * len(done), "finished parts are not repeated"
    assert slow_score(given, recorded_model, tmp_path / "undisturbed", 0).wait(180) == 0
    tables = [(one / output.TABLE).read_bytes() for one in (folder, tmp_path / "undisturbed")]
    assert tables[0] == tables[1]
    table = pq.read_table(folder / output.TABLE)
    assert table["path"].to_pylist() == given
    assert table["error"].null_count == readable


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_executors_of_a_cluster_receive_model_and_code(
    recorded_model: Path, paths: list[str], tmp_path: Path
) -> None:
    with embedded_cluster(2, 1024, tmp_path / "cluster") as cluster:
        arguments = [cluster.master, paths, str(recorded_model), str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-c", ON_CLUSTER, json.dumps(arguments)],
            cwd=ROOT,
            # As a user names the settings of a cluster.
            env={**for_spark(), "SPARK_CONF_DIR": str(cluster.settings.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    rows, places = json.loads(done.stdout.splitlines()[-1])
    for file, _, folder in places:
        assert ".zip/" in file, "the code comes from the driver"
        assert folder.startswith(str(tmp_path / "cluster"))
    card = ModelCard.read(classifier_folder(recorded_model))
    own = expected(recorded_model, paths)
    table = pq.read_table(tmp_path / "out" / output.TABLE)
    assert np.abs(probabilities(table, card) - own).max() < 1e-5
    assert [row["path"] for row in rows] == paths
    found = [[row["probabilities"][name] for name in card.class_names] for row in rows]
    assert np.abs(np.array(found) - own).max() < 1e-5


def test_an_object_store_that_does_not_answer_is_no_error_of_an_image(
    recorded_model: Path, cell_files: list[Path], tmp_path: Path, monkeypatch
) -> None:
    content = cell_files[0].read_bytes()
    errors = {
        "s3://b/a": FileNotFoundError(2, "Path does not exist 'b/a'"),
        "s3://b/b": OSError("AWS Error ACCESS_DENIED during GetObject operation: no"),
        "s3://b/c": None,
        "s3://b/d": OSError("AWS Error NETWORK_CONNECTION during GetObject operation: off\nmore"),
    }

    def read(_: object, path: str) -> bytes:
        if error := errors[f"s3://{path}"]:
            raise error
        return content

    monkeypatch.setattr(parts, "read_bytes", read)
    monkeypatch.setattr(parts, "locate", lambda address: (fs.LocalFileSystem(), address[5:]))
    opened: Any = SimpleNamespace(open=lambda: Classifier.open(recorded_model))
    table = parts.score_images([*errors][:3], opened)
    assert table["error"].to_pylist() == [
        "cannot be read: Path does not exist 'b/a'",
        "cannot be read: AWS Error ACCESS_DENIED during GetObject operation: no",
        None,
    ]
    result = parts.write_part(parts.Part(str(tmp_path), "one.parquet", (*errors,)), opened)
    assert result.outage == (
        "s3://b/d cannot be read: AWS Error NETWORK_CONNECTION during GetObject operation: off"
    )
    assert result.failure is None
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("images", [1, 31, 32, 33, 500, 5_000, 18_960])
def test_parts_divide_the_images_without_gap(images: int) -> None:
    given = pa.table(
        {
            "path": [f"/{number}" for number in range(images)],
            "source_bytes": pa.array([2 * bulk.PART_BYTES if images == 31 else 9] * images),
        }
    )
    inputs = Inputs.of(given)
    request = Request(images=images, inputs=inputs.digest(), model="m", decoders="d")
    found = bulk._divide(inputs, "/out/parts", request)
    assert [address for part in found for address in part.addresses] == inputs.addresses
    assert all(part.addresses for part in found)
    assert max(len(part.addresses) for part in found) <= bulk.PART_ROWS
    assert len({part.name for part in found}) == len(found)
    assert len(found) >= min(bulk._FEWEST_PARTS, images / bulk._SMALLEST_PART)
    if images == 31:
        assert len(found) == 31, "large files are divided by bytes"


def test_a_request_changes_with_everything_it_consists_of() -> None:
    def digest(**columns: list) -> str:
        return Inputs.of(
            pa.table({"path": ["/a", "/b"], "source_bytes": [1, 2], **columns})
        ).digest()

    assert digest() == digest()
    others = [
        digest(path=["/b", "/a"]),
        digest(source_bytes=[1, 3]),
        digest(source_bytes=[1, None]),
        digest(label=[1, 2]),
        digest(patient_id=[1, 2]),
    ]
    assert len({digest(), *others}) == len(others) + 1
