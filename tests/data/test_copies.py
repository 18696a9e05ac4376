"""Without patients, images with the same content form one group; published parts are kept."""

import json
import re
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from data import copies
from data.config import DataConfig, ImageConfig, SplitConfig
from data.describe import describe, describe_split
from data.division import Division, check_division, divide
from data.errors import DataError
from data.exploration import explore
from data.ingest import prepare
from data.layouts import read_index
from data.local_spark import local_context
from data.plots import class_bars
from data.prepared import PreparedData
from data.tables import print_description
from tests.data.layout_reading import touch


def picture(seed: int, side: int = 40) -> Image.Image:
    """Return a picture of large spots, different for each seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(spots).resize((side, side), Image.Resampling.BICUBIC)


def fill(root: Path, parts: tuple[str, ...] = ("",), images: int = 12) -> Path:
    for part in parts:
        for number in range(images):
            path = root / part / ("mel", "nv")[number % 2] / f"{part}{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(len(part) * 1000 + number).save(path)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures and three copies of 04: one is resized, one is in the other class."""
    root = fill(tmp_path_factory.mktemp("copies") / "photographs")
    shutil.copy(root / "mel/04.png", root / "mel/zz.png")
    shutil.copy(root / "mel/04.png", root / "nv/other.png")
    Image.open(root / "mel/04.png").resize((80, 80)).save(root / "mel/large.jpg", quality=90)
    return root


def division_of(source: Path, **split) -> Division:
    config = DataConfig(source=str(source), split=SplitConfig(**split))
    return divide(read_index(config), config)


def groups_of(division: Division) -> dict[str, str]:
    columns = (division.table.column(name).to_pylist() for name in ("image_id", "group"))
    return dict(zip(*columns, strict=True))


def printed(description) -> str:
    console = Console(file=StringIO(), width=80)
    print_description(console, description)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_copies_are_one_group_named_by_the_first_image(folder: Path) -> None:
    division = division_of(folder)
    groups = groups_of(division)
    copied = {"mel/04", "mel/large", "mel/zz", "nv/other"}
    assert {image for image, group in groups.items() if group == "mel/04"} == copied
    assert all(groups[image] == image for image in groups if image not in copied)
    assert division.table.column("patient_id").equals(division.table.column("group"))
    assert division.unit == division.manifest.by == "image"
    assert {*division.manifest.assignments} == {*groups.values()}
    kept, mixed = division.notes
    assert kept.startswith("1 sets of copies of the same image are kept on one side")
    assert mixed.startswith("1 sets of images that look the same are in two classes")


def test_images_that_all_look_alike_are_told_from_each_other(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(copies, "_ALWAYS", 3)
    for number in range(12):
        path = tmp_path / ("mel", "nv")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.asarray(picture(1)).copy()
        pixels[number, number] = 255
        Image.fromarray(pixels).save(path)
    shutil.copy(tmp_path / "mel/00.png", tmp_path / "mel/copy.png")
    division = division_of(tmp_path)
    groups = groups_of(division)
    assert groups["mel/copy"] == "mel/00"
    assert len({*groups.values()}) == 12
    assert "Many of the images look alike" in division.notes[-1]


def test_description_of_images_without_patients_names_no_patient(folder: Path) -> None:
    config = DataConfig(source=str(folder))
    index = read_index(config)
    description = describe_split(index, divide(index, config))
    text = printed(description)
    assert "read as class/image: 2 classes (mel, nv), 15 images no patients are known" in text
    counts = text.split("(--labels)")[1]
    assert "patient" not in counts
    assert "15" in counts
    assert [axis.get_title() for axis in class_bars(description).axes] == ["images per class"]


@pytest.mark.slow
def test_page_of_images_without_patients_names_no_patient(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    findings = explore(describe(DataConfig(source=str(folder))), str(page), sample=3)
    text = page.read_text()
    said = text.split("</style>")[1].replace("no patients are known", "")
    # The verdict says that patients are not known, and what to do about it.
    said, verdicts = re.subn(r"<li>The patients are not known\..*?</li>", "", said, flags=re.S)
    assert verdicts == 1
    for words in ("images of one patient may be", "specify patients with", "class/patient/image"):
        said = said.replace(words, "")
    assert "patient" not in said
    assert "of each class" in said
    assert "Brightness and color" in said
    assert len(findings.survey.table) == 6
    assert not findings.leaks


# Parts of a publisher


def test_parts_are_used_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path, ("Train", "val", "TEST"), images=6)
    division = division_of(tmp_path, method="as-is")
    sides = {"Train": "train", "val": "validation", "TEST": "test"}
    assert division.manifest.assignments == {
        image: sides[image.split("/")[0]] for image in groups_of(division)
    }
    assert division.notes == (
        "The split is that of the source's own folders: test from 'TEST', train from 'Train', "
        "validation from 'val'.",
    )


@pytest.mark.parametrize(
    ("other", "note"), [("test", "test from 'test'"), ("val", "test from 'val'")]
)
def test_validation_is_drawn_from_train_where_one_part_is_missing(
    tmp_path: Path, other: str, note: str
) -> None:
    fill(tmp_path, ("train", other), images=12)
    division = division_of(tmp_path, method="as-is")
    for image, side in division.manifest.assignments.items():
        assert (side == "test") == image.startswith(f"{other}/")
    assert {*division.manifest.assignments.values()} == {"train", "validation", "test"}
    assert note in division.notes[0]
    assert division.notes[0].endswith("validation drawn from the training images.")


def test_copies_in_two_parts_stay_there_and_are_noted_as_a_leak(tmp_path: Path) -> None:
    fill(tmp_path, ("train", "val", "test"), images=6)
    seen = tmp_path / "train/mel/train00.png"
    shutil.copy(seen, tmp_path / "train/mel/twice.png")
    Image.open(seen).resize((80, 80)).save(tmp_path / "test/mel/large.jpg", quality=90)
    division = division_of(tmp_path, method="as-is")
    groups = groups_of(division)
    assert groups["train/mel/twice"] == "train/mel/train00"
    assert groups["test/mel/large"] == "test/mel/large"
    assert division.manifest.assignments["test/mel/large"] == "test"
    leak = next(note for note in division.notes if "LEAK" in note)
    assert leak.startswith("1 sets of images that look the same are on two sides of the split")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a/1.png", "b/2.png"], "no folders train and test .parts found: none.; omit --split"),
        (
            [f"{part}/{name}/p1/{part}{name}.png" for part in ("train", "test") for name in "ab"]
            + [f"train/{name}/p{n}/1.png" for name in "ab" for n in (2, 3)],
            r"1 patient is in more than one .*\(p1 in test and train\).*omit --split as-is.*"
            "--split-by image",
        ),
    ],
)
def test_parts_that_cannot_be_used_are_refused_with_advice(
    tmp_path: Path, paths: list[str], message: str
) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(DataError, match=message):
        division_of(tmp_path, method="as-is")


def test_classes_with_few_images_are_counted_in_images(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a/{n}.png" for n in range(9)), "b/1.png", "b/2.png")
    config = DataConfig(source=str(tmp_path))
    for check in (check_division, divide):
        with pytest.raises(DataError, match="class 'b' has 2 images to divide among 3 parts"):
            check(read_index(config), config)


def test_manifest_of_a_folder_without_patients_can_be_used(folder: Path, tmp_path: Path) -> None:
    drawn = division_of(folder).manifest
    drawn.save(tmp_path / "split.json")
    split = SplitConfig(manifest=str(tmp_path / "split.json"))
    config = DataConfig(source=str(folder), split=split)
    _, class_names = check_division(read_index(config), config)
    assert class_names == ("mel", "nv")
    assert divide(read_index(config), config).manifest == drawn


# Ingest


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    with local_context(2, "tests"):
        yield


@pytest.mark.slow
@pytest.mark.spark
def test_ingest_makes_the_manifest_of_split_and_reads_new_images_alone(
    spark, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    source = shutil.copytree(folder, tmp_path / "source")
    config = DataConfig(source=str(source), image=ImageConfig(height=16, width=16))

    def prepared() -> PreparedData:
        return prepare(config, str(tmp_path / "out"))

    first = prepared()
    assert first.manifest == division_of(source).manifest
    assert first.summary.unit == "image"
    assert json.loads((tmp_path / "out/dataset.json").read_text())["reading"]
    assert {row["path"] for row in pq.read_table(tmp_path / "out/copies.parquet").to_pylist()} == {
        str(path.relative_to(source)) for path in source.rglob("*.*")
    }
    notes = " ".join(first.summary.notes)
    assert "more than one patient" not in notes
    assert "1 of them are in two classes: one label is wrong" in notes
    text = printed(describe(DataConfig(source=first.uri)))
    assert "patient" not in text.split("(--labels)")[1]

    # A new copy that sorts first: its group keeps its name and side, and only one image is read.
    shutil.copy(source / "mel/04.png", source / "mel/000.png")
    read = []
    measure = copies.find_copies

    def noticing(index, table, known, **options):
        read.append(table.num_rows - known.num_rows)
        return measure(index, table, known, **options)

    monkeypatch.setattr("data.division.find_copies", noticing)
    second = prepared()
    assert read == [1]
    assert second.manifest.assignments == first.manifest.assignments


@pytest.mark.slow
@pytest.mark.spark
def test_ingest_of_ready_made_parts_says_leak(spark, tmp_path: Path) -> None:
    source = fill(tmp_path / "source", ("train", "val", "test"), images=6)
    shutil.copy(source / "train/mel/train00.png", source / "test/mel/copy.png")
    config = DataConfig(
        source=str(source),
        image=ImageConfig(height=16, width=16),
        split=SplitConfig(method="as-is"),
    )
    notes = prepare(config, str(tmp_path / "out")).summary.notes
    assert any("are on two sides of the split: a LEAK" in note for note in notes)
