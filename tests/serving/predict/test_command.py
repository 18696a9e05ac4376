"""``sparkdl-bench predict`` and ``models``, as a user calls them."""

import csv
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.card import DISCLAIMER, ModelCard
from serving import Classifier
from sparkdl_bench.commands import app
from tests.serving.predict.conftest import NAME, Recorded, card_of, image_bytes

ROOT = Path(__file__).parents[3]
MakeImage = Callable[..., Path]


def call(*arguments: object) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error."""
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def open_model(model_folder: Path) -> Classifier:
    return Classifier.open(model_folder)


def bomb(side: int) -> bytes:
    """Return a PNG file of a few bytes that declares an image of ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = zlib.compress(bytes((side // 8 + 1) * 10))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.slow
def test_one_image_and_a_name_are_enough(recorded: Recorded, make_image: MakeImage) -> None:
    make_image("cell.jpg")
    command = [sys.executable, "-X", "importtime", "-m", "sparkdl_bench", "predict", NAME]
    done = subprocess.run(
        [*command, "cell.jpg"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MLFLOW_TRACKING_URI": recorded.uri, "PYTHONPATH": str(ROOT)},
    )
    head, row, summary, meaning, last = done.stdout.splitlines()[:2] + done.stdout.splitlines()[-3:]
    assert head.split() == ["file", "class", "probability", "decision"]
    assert row.split()[0] == "cell.jpg"
    assert summary.startswith("1 image at the threshold 0.3: ")
    assert meaning == (
        "threshold 0.3 (chosen by sensitivity=0.95): the model finds 95 of 100 (90 to 98) images "
        "of 'all' and takes 12 of 100 (7 to 20) images of 'hem' for 'all', measured on 40 test "
        "images of 4 patients that it had not seen"
    )
    assert last == DISCLAIMER
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"mlflow", "tensorflow", "pyspark", "scipy", "sklearn", "matplotlib"}
    assert heavy - imported == heavy


def test_every_form_of_output_has_the_same_rows(
    model_folder: Path, open_model: Classifier, make_image: MakeImage
) -> None:
    files = [make_image(f"in/P{n % 3}_{n}.png", n) for n in range(6)]
    Path("in/broken.png").write_bytes(b"\x89PNG broken")
    expected = open_model.classify([file.read_bytes() for file in files])
    pattern = ("--group-pattern", r"(P\d)_")
    for name in ("x.csv", "x.parquet", "deep/er/x.json"):
        status, printed, _ = call(model_folder, "in", *pattern, "-o", name)
        assert status == 0
        assert f"written {name}" in printed
    table = pq.read_table("x.parquet")
    rows = table.to_pylist()
    names = ["path", "patient", "class", "decision", "probability_all", "probability_hem", "error"]
    assert table.column_names == names
    assert [row["path"] for row in rows] == ["in/P0_0.png", "in/P0_3.png", "in/P1_1.png",
                                             "in/P1_4.png", "in/P2_2.png", "in/P2_5.png",
                                             "in/broken.png"]  # fmt: skip
    by_path = dict(zip(map(str, files), expected, strict=True))
    for row in rows[:-1]:
        one = by_path[row["path"]]
        assert (row["class"], row["decision"]) == (one.class_name, one.decision)
        assert row["probability_all"] == pytest.approx(one.probabilities["all"], abs=1e-6)
        assert row["error"] is None
        assert row["patient"] == row["path"][3:5]
    assert rows[-1]["class"] is None
    assert "PNG" in rows[-1]["error"]

    written = [*csv.DictReader(io.StringIO(Path("x.csv").read_text()))]
    content = json.loads(Path("deep/er/x.json").read_text())
    assert [row["path"] for row in written] == [row["path"] for row in rows]
    assert [row["path"] for row in content["images"]] == [row["path"] for row in rows]
    assert "error" not in content["images"][0]
    assert "class" not in content["images"][-1]
    for line, other, row in zip(written, content["images"], rows[:-1], strict=False):
        assert float(line["probability_all"]) == pytest.approx(row["probability_all"], rel=1e-6)
        assert other["probability_all"] == pytest.approx(row["probability_all"], rel=1e-6)

    means = [*csv.DictReader(io.StringIO(Path("x.patients.csv").read_text()))]
    assert [row["patient"] for row in means] == ["P0", "P1", "P2"]
    assert [row["patient"] for row in content["patients"]] == ["P0", "P1", "P2"]
    assert pq.read_table("x.patients.parquet").num_rows == 3
    for patient, row in enumerate(means):
        own = [expected[patient].probabilities["all"], expected[patient + 3].probabilities["all"]]
        assert row["images"] == "2"
        assert float(row["probability_all"]) == pytest.approx(np.mean(own), abs=1e-6)
        decided = "all" if np.mean(own) >= 0.3 else "hem"
        assert row["decision"] == decided


def test_lines_of_json_are_all_that_is_printed(model_folder: Path, make_image: MakeImage) -> None:
    make_image("a b.png")
    Path("c.png").write_bytes(b"")
    status, printed, more = call(model_folder, "a b.png", "c.png", "--json")
    assert status == 0
    first, second = map(json.loads, printed.splitlines())
    assert {*first} == {"path", "class", "decision", "probability_all", "probability_hem"}
    assert second == {"path": "c.png", "error": "empty file"}
    assert "not classified: 1 file\n  c.png: empty file" in more
    assert DISCLAIMER in more


def test_files_that_cannot_be_read_are_listed_and_stop_nothing(
    model_folder: Path, make_image: MakeImage
) -> None:
    make_image("good.png")
    Path("text.jpg").write_text("no image")
    whole = make_image("whole.jpg", size=200).read_bytes()
    Path("cut.jpg").write_bytes(whole[: len(whole) // 2])
    Path("bomb.png").write_bytes(bomb(20_000))
    names = ("good.png", "text.jpg", "cut.jpg", "bomb.png", "missing.png")
    status, printed, _ = call(model_folder, *names, "-o", "x.csv")
    assert status == 0
    assert "not classified: 4 files" in printed
    rows = csv.DictReader(io.StringIO(Path("x.csv").read_text()))
    reasons = {row["path"]: row["error"] for row in rows}
    assert {*reasons} == {*names}
    assert reasons["good.png"] == ""
    assert reasons["text.jpg"] == "not an image"
    assert reasons["cut.jpg"].startswith("damaged image: ")
    assert reasons["bomb.png"] == "more than 64,000,000 pixels"
    assert reasons["missing.png"] == "there is no such file or folder"
    assert not any("\n" in reason for reason in reasons.values())
    assert call(model_folder, *names[1:])[0] == 1


def test_damaged_images_are_classified_on_request(
    model_folder: Path, make_image: MakeImage
) -> None:
    content = bytearray(make_image("whole.png").read_bytes())
    content[content.index(b"IEND") + 4] ^= 1  # the checksum of the last chunk
    Path("damaged.png").write_bytes(content)
    status, printed, _ = call(model_folder, "damaged.png")
    assert status == 1
    assert "damaged.png: damaged image: the checksum of a chunk IEND is wrong" in printed
    files = ("damaged.png", "whole.png")
    assert call(model_folder, *files, "--damaged", "accept", "-o", "x.json")[0] == 0
    damaged, whole = json.loads(Path("x.json").read_text())["images"]
    assert damaged["probability_all"] == whole["probability_all"]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("grey.png", "L"),
        ("cmyk.jpg", "CMYK"),
        ("cmyk.tif", "CMYK"),
        ("deep.png", "I;16"),
        ("clear.png", "RGBA"),
        ("palette.gif", "P"),
        ("binary.png", "1"),
    ],
)
def test_images_of_all_kinds_give_what_the_ingest_decodes(
    name: str, mode: str, open_model: Classifier, make_image: MakeImage, model_folder: Path
) -> None:
    from data.images import decode

    make_image(name, 5, mode)
    assert call(model_folder, name, "-o", "x.parquet")[0] == 0
    image = open_model.card.image
    pixels = decode(Path(name).read_bytes(), image.height, image.width, image.color)
    expected = open_model.of_pixels(pixels[None])[0]
    (row,) = pq.read_table("x.parquet").to_pylist()
    assert [row["probability_all"], row["probability_hem"]] == pytest.approx(expected, abs=1e-6)


def test_first_frame_of_an_animation_counts(
    model_folder: Path, open_model: Classifier, make_image: MakeImage
) -> None:
    frames = [Image.open(io.BytesIO(image_bytes(n))).convert("P") for n in range(3)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    frames[0].save("first.gif")
    assert call(model_folder, "film.gif", "first.gif", "-o", "x.parquet")[0] == 0
    film, first = pq.read_table("x.parquet").to_pylist()
    assert film["probability_all"] == pytest.approx(first["probability_all"], abs=1e-6)


def test_batches_keep_their_order(
    model_folder: Path, open_model: Classifier, make_image: MakeImage
) -> None:
    # More than three batches, some of them with unreadable images, the last one of these alone.
    for number in range(200):
        make_image(f"in/{number:03}.png", number % 7, size=24)
    for number in (0, 63, 64, 199):
        Path(f"in/{number:03}.png").write_bytes(b"broken")
    assert call(model_folder, "in", "-o", "x.parquet")[0] == 0
    rows = pq.read_table("x.parquet").to_pylist()
    assert [row["path"] for row in rows] == [f"in/{number:03}.png" for number in range(200)]
    expected = [one.probabilities["all"] for one in open_model.classify(
        [image_bytes(number, size=24) for number in range(7)]
    )]  # fmt: skip
    for number, row in enumerate(rows):
        if number in (0, 63, 64, 199):
            assert row["error"] == "not an image"
        else:
            assert row["probability_all"] == pytest.approx(expected[number % 7], abs=1e-5)


def test_threshold_of_one_half_shows_no_decision(
    model_folder: Path, tmp_path: Path, make_image: MakeImage
) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for file in model_folder.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "model_card.json").unlink()
    card_of(threshold=0.5).write(folder)
    make_image("a.png")
    status, printed, _ = call(folder, "a.png")
    assert status == 0
    assert printed.splitlines()[0].split() == ["file", "class", "probability"]
    assert "threshold 0.5: the model finds 95 of 100" in printed
    assert ModelCard.read(folder).threshold.value == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.txt"], "--output x.txt: its name must end in .csv, .parquet or .json"),
        (["-o", "in/x.csv"], "is in the folder of the images"),
        (["-o", "in/a.png/x.json"], "in/a.png is a file, not a folder"),
        (["--group-pattern", "(", "--no-scores"], "--group-pattern '(' cannot be read"),
        (["--master", "local[1]", "--no-spark"], "--no-spark and --master: give one of them"),
        (["--spark", "--damaged", "accept"], "not available on Spark"),
        (["--damaged", "mend"], "'mend' is not one of 'reject', 'accept'"),
        (["--tracking"], "there is no option --tracking"),
        (["--layout", "c-nmc"], "does not look like the layout 'c-nmc'"),
    ],
)
def test_wrong_requests_are_one_line_and_status_2(
    arguments: list[str], message: str, model_folder: Path, make_image: MakeImage
) -> None:
    make_image("in/a.png")
    done = subprocess.run(
        [sys.executable, "-m", "sparkdl_bench", "predict", str(model_folder), "in", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_nothing_to_classify_is_a_wrong_request(model_folder: Path) -> None:
    Path("empty").mkdir()
    for paths in (["empty"], ["none.png"], ["none.png", "empty"], ["*.png"]):
        status, printed, error = call(model_folder, *paths)
        assert (status, printed) == (2, "")
        assert error.startswith("error: ")
        assert error.count("\n") == 1


def test_models_are_listed(recorded: Recorded) -> None:
    result = CliRunner().invoke(app, ["models", "--tracking-uri", recorded.uri])
    assert result.exit_code == 0
    head, _, row = result.stdout.splitlines()[:3]
    assert head.split() == ["model", "newest", "version", "aliases", "run"]
    assert row.split() == [NAME, "2", "best", "(version", "1)", recorded.second[:8]]
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 2
    assert "there is no MLflow database" in result.stderr
