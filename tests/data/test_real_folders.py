"""What folders of real images hold beside images: each kind has one answer."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.config import DataConfig, ImageConfig
from data.errors import DataError
from data.ingest import prepare
from data.layouts.base import list_source
from data.local_spark import local_context
from data.prepared import PreparedData

PATTERN = r"patient ([^/]+)"


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    with local_context(2, "tests"):
        yield


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of six patients with two images each."""
    source = tmp_path / "source"
    for number in range(24):
        place = source / ("sick", "well")[number % 2] / f"patient {number // 2}"
        place.mkdir(parents=True, exist_ok=True)
        for image in range(2):
            picture(100 * number + image).save(place / f"{number}-{image}.png")
    return source


def prepared(source: Path, **changes) -> PreparedData:
    config = DataConfig(
        source=str(source),
        layout="folders",
        group_pattern=PATTERN,
        image=ImageConfig(height=20, width=20),
        **changes,
    )
    return prepare(config, str(source.with_name("out")))


def table_of(data: PreparedData) -> list[dict]:
    names = [part.name for parts in data.summary.files.values() for part in parts]
    return [row for name in names for row in pq.read_table(Path(data.uri) / name).to_pylist()]


def rejects_of(data: PreparedData) -> dict[str, str]:
    rows = pq.read_table(Path(data.uri) / "rejects.parquet").to_pylist()
    return {row["path"]: row["reason"] for row in rows}


def test_link_back_to_a_folder_above_shows_no_image_twice(folder: Path) -> None:
    (folder / "sick" / "patient 0" / "all").symlink_to(folder)
    (folder / "well" / "other").symlink_to(folder / "sick")
    assert len(list_source(str(folder)).images) == 48


def test_folder_elsewhere_is_reached_through_a_link(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    picture(1).save(elsewhere / "far.png")
    (folder / "sick" / "patient 99").symlink_to(elsewhere)
    assert "sick/patient 99/far.png" in list_source(str(folder)).images


@pytest.mark.spark
def test_link_to_nowhere_is_a_reject(spark, folder: Path) -> None:
    (folder / "sick" / "patient 0" / "gone.png").symlink_to(folder / "nothing.png")
    assert rejects_of(prepared(folder)) == {
        "sick/patient 0/gone.png": "is no regular file, or a link to nowhere"
    }


def test_folder_that_may_not_be_listed_is_no_silent_loss(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A superuser may list all, so the system's answer is given here."""
    scandir = os.scandir

    def refusing(path: str):
        if path.endswith("patient 4"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"cannot be listed: .*Permission denied.*patient 4"):
        list_source(str(folder))


@pytest.mark.spark
def test_what_is_no_file_is_a_reject_and_is_not_waited_for(spark, folder: Path) -> None:
    (folder / "sick" / "patient 0" / "folder.png").mkdir()
    victim = folder / "sick" / "patient 0" / "0-0.png"
    victim.unlink()
    os.mkfifo(victim)
    assert rejects_of(prepared(folder)) == {
        "sick/patient 0/0-0.png": "is no regular file, or a link to nowhere"
    }


@pytest.mark.spark
def test_names_of_any_alphabet_with_spaces_and_newlines_are_kept(spark, folder: Path) -> None:
    odd = folder / "sick" / "patient 血液\nΩ é"
    odd.mkdir()
    picture(7).save(odd / "клетка 1\t'\"#?%.png")
    rows = {row["path"]: row for row in table_of(prepared(folder))}
    found = rows["sick/patient 血液\nΩ é/клетка 1\t'\"#?%.png"]
    assert found["patient_id"] == "血液\nΩ é"
    assert found["pixels"] == np.asarray(picture(7)).tobytes()


@pytest.mark.spark
def test_name_that_is_no_text_is_a_reject(spark, folder: Path) -> None:
    picture(7).save(folder / "sick" / "patient 0" / "plain.png")
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "sick/patient 0/plain.png").rename(folder / "sick/patient 0" / name)
    assert rejects_of(prepared(folder)) == {
        r"sick/patient 0/caf\udce9.png": "its name is no UTF-8 text: rename it"
    }


@pytest.mark.spark
def test_patients_that_differ_in_capitals_only_get_a_note(spark, folder: Path) -> None:
    for name in ("ab7", "AB7"):
        place = folder / "sick" / f"patient {name}"
        place.mkdir()
        picture(len(name) + ord(name[0])).save(place / f"{name}.png")
    notes = " ".join(prepared(folder).summary.notes)
    assert "2 patients have names that differ only in capitals" in notes
    assert "count as 2 different ones: 'AB7' and 'ab7'." in notes


@pytest.mark.spark
def test_duplicates_are_told_and_across_patients_are_a_leak(spark, folder: Path) -> None:
    one = folder / "sick" / "patient 0" / "0-0.png"
    for number in range(0, 12, 2):  # of each patient with sick cells: on every side of the split
        target = folder / "sick" / f"patient {number // 2}" / "copy.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(one.read_bytes())
    other = folder / "well" / "patient 1" / "2-0.bmp"
    other.parent.mkdir(exist_ok=True)
    Image.open(folder / "sick" / "patient 1" / "2-0.png").save(other)
    notes = " ".join(prepared(folder).summary.notes)
    assert "1 files are there more than once, byte for byte (for example 'sick/pat" in notes
    assert "1 pictures are there more than once in files that differ" in notes
    assert "of them lie with more than one patient" in notes
    assert "stand on two sides of the split: a leak" in notes
    assert "1 of them stand in two classes: one label is wrong" in notes


@pytest.mark.spark
def test_folder_without_duplicates_tells_of_none(spark, folder: Path) -> None:
    assert not [note for note in prepared(folder).summary.notes if "more than once" in note]
