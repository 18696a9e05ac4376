"""Files other than images in folders of real images: each kind is handled in one way."""

import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from data.config import DataConfig, ImageConfig, SplitConfig
from data.describe import describe
from data.errors import DataError
from data.ingest import prepare
from data.layouts.listing import list_source
from data.local_spark import local_context
from data.prepared import PreparedData
from data.tables import print_rejects

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


@pytest.mark.slow
@pytest.mark.spark
def test_link_to_nowhere_is_a_reject(spark, folder: Path) -> None:
    (folder / "sick" / "patient 0" / "gone.png").symlink_to(folder / "nothing.png")
    assert rejects_of(prepared(folder)) == {
        "sick/patient 0/gone.png": "is no regular file, or a link to nowhere"
    }


def test_folder_that_may_not_be_listed_is_no_silent_loss(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A superuser can list every folder, so the system's error is simulated."""
    scandir = os.scandir

    def refusing(path: str):
        if path.endswith("patient 4"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match=r"cannot be listed: .*Permission denied.*patient 4"):
        list_source(str(folder))


@pytest.mark.slow
@pytest.mark.spark
def test_what_is_no_file_is_a_reject_and_is_not_waited_for(spark, folder: Path) -> None:
    (folder / "sick" / "patient 0" / "folder.png").mkdir()
    victim = folder / "sick" / "patient 0" / "0-0.png"
    victim.unlink()
    os.mkfifo(victim)
    assert rejects_of(prepared(folder)) == {
        "sick/patient 0/0-0.png": "is no regular file, or a link to nowhere"
    }


@pytest.mark.slow
@pytest.mark.spark
def test_names_of_any_alphabet_with_spaces_and_newlines_are_kept(spark, folder: Path) -> None:
    odd = folder / "sick" / "patient 血液\nΩ é"
    odd.mkdir()
    picture(7).save(odd / "клетка 1\t'\"#?%.png")
    rows = {row["path"]: row for row in table_of(prepared(folder))}
    found = rows["sick/patient 血液\nΩ é/клетка 1\t'\"#?%.png"]
    assert found["patient_id"] == "血液\nΩ é"
    assert found["pixels"] == np.asarray(picture(7)).tobytes()


@pytest.mark.slow
@pytest.mark.spark
def test_name_that_is_no_text_is_a_reject(spark, folder: Path) -> None:
    picture(7).save(folder / "sick" / "patient 0" / "plain.png")
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "sick/patient 0/plain.png").rename(folder / "sick/patient 0" / name)
    assert rejects_of(prepared(folder)) == {
        r"sick/patient 0/caf\udce9.png": "its name is no UTF-8 text: rename it"
    }


@pytest.mark.slow
@pytest.mark.spark
def test_patients_that_differ_in_capitals_only_get_a_note(spark, folder: Path) -> None:
    for name in ("ab7", "AB7"):
        place = folder / "sick" / f"patient {name}"
        place.mkdir()
        picture(len(name) + ord(name[0])).save(place / f"{name}.png")
    notes = " ".join(prepared(folder).summary.notes)
    assert "2 patients have names that differ only in case" in notes
    assert "count as 2 different ones: 'AB7' and 'ab7'." in notes


#: File names found in folders of images, with the kind of reject of each.
BESIDE = {
    "labels.csv": "no image",
    "README": "no image",
    "sick/patient 0/notes.TXT": "no image",
    "sick/patient 0/0-0.xml": "no image",
    "sick/patient 0/scan.DCM": "format",
    "sick/patient 0/scan.jp2": "format",
    "sick/patient 0/volume.nii.gz": "format",
    "sick/patient 0/figure.svg": "format",
    "sick/patient 0/patient_0": "no image",
    "sick/patient 0/IM000001": "format",
    "sick/patient 0/1.2.840.113619": "format",
    "sick/patient 0/Thumbs.db": "hidden",
    "sick/patient 0/._0-0.png": "hidden",
    ".DS_Store": "hidden",
    "sick/patient 0/text.gif": "unreadable",
    "top.webp": "unused",
}
SYSTEM_FOLDERS = (
    "@eaDir", "@EADIR", "#recycle", "$RECYCLE.BIN", ".Trash-1000", ".git", ".ipynb_checkpoints",
    ".snapshot", ".thumbnails", "System Volume Information", "__MACOSX", "lost+found", "~snapshot",
)  # fmt: skip


@pytest.mark.spark
def test_every_file_has_one_row_whatever_its_name(spark, folder: Path, monkeypatch) -> None:
    for module in ("formats", "layouts.base", "layouts.listing"):  # as without the extra dicom
        monkeypatch.setattr(f"data.{module}.is_available", lambda: False)
    patient = folder / "sick" / "patient 0"
    for name, kind in BESIDE.items():
        (folder / name).write_bytes(bytes(128) + b"DICM" if kind == "format" else b"anything")
    for suffix in ("gif", "webp", "GIF", "WebP", "jfif", "TIFF"):
        picture(len(suffix)).save(patient / f"{suffix}.{suffix}")
    for name in SYSTEM_FOLDERS:
        for place in (folder, patient):
            (place / name).mkdir()
            picture(1).save(place / name / "0-0.png")
    data = prepared(folder)
    taken = [row["path"] for row in table_of(data)]
    rows = pq.read_table(Path(data.uri) / "rejects.parquet").to_pylist()
    kinds = {row["path"]: row["kind"] for row in rows}
    left = [f"{place}{name}/" for name in SYSTEM_FOLDERS for place in ("", "sick/patient 0/")]
    assert kinds == BESIDE | dict.fromkeys(left, "hidden")
    assert len(rows) == len(kinds)
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    entered = [path for path in files if not path.startswith(tuple(left))]
    assert sorted([*taken, *BESIDE]) == sorted(entered)
    assert "sick/patient 0/WebP.WebP" in taken
    assert data.summary.reject_kinds == Counter(kinds.values())


@pytest.mark.spark
def test_counts_of_what_is_left_out_are_the_same_words_everywhere(spark, folder: Path) -> None:
    (folder / "@eaDir").mkdir()
    for name in ("sick/patient 0/scan.jp2", "sick/patient 0/scan.j2k", "README.txt"):
        (folder / name).touch()
    words = (
        "left out: 2 images of unsupported formats, 1 file that is not an image, "
        "1 hidden file or folder"
    )
    data = prepared(folder)
    source = describe(DataConfig(source=str(folder), group_pattern=PATTERN))
    assert {counts.class_name for counts in source.classes} == {"sick", "well"}
    for description in (source, describe(DataConfig(source=data.uri))):
        terminal = io.StringIO()
        print_rejects(Console(file=terminal, width=40), description.rejects)
        lines = terminal.getvalue().splitlines()
        assert lines[0] == words
        assert lines[1].startswith("  2 x JPEG 2000 is not read: save it as PNG or TIFF: sick/")
        assert len(lines) == 2
    assert data.summary.left_out == words


@pytest.mark.slow
@pytest.mark.spark
def test_images_set_aside_by_the_request_have_a_row_each(spark, folder: Path) -> None:
    (folder / "other" / "patient 0").mkdir(parents=True)
    picture(1).save(folder / "other" / "patient 0" / "x.png")
    data = prepared(folder, classes=("sick", "well"), split=SplitConfig(train_images=20))
    reasons = Counter(rejects_of(data).values())
    assert reasons["its class other was not selected"] == 1
    limited = "train_images limits the number of training images"
    assert reasons[limited] == 49 - 1 - len(table_of(data))
    assert data.summary.reject_kinds == {"set aside": 49 - len(table_of(data))}
    assert data.summary.rejects == 0


@pytest.mark.slow
@pytest.mark.spark
def test_damaged_images_are_left_out_or_noted_as_the_user_chooses(spark, folder: Path) -> None:
    victim = folder / "sick" / "patient 0" / "0-0.png"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1  # in the checksum of the last chunk
    victim.write_bytes(content)
    assert rejects_of(prepared(folder)) == {
        "sick/patient 0/0-0.png": "damaged image: the checksum of a chunk IEND is wrong"
    }
    with pytest.raises(DataError, match="another configuration \\(different: damaged"):
        prepared(folder, damaged="accept")
    shutil.rmtree(folder.with_name("out"))
    for _ in range(2):  # the second time with the decoded data of the first
        data = prepared(folder, damaged="accept")
        assert data.summary.notes == (
            "Damaged images that are used as repaired by the decoder: 1 (for example "
            "'sick/patient 0/0-0.png').",
        )
        (Path(data.uri) / "dataset.json").unlink()
        (Path(data.uri) / "unfinished.txt").touch()


@pytest.mark.slow
@pytest.mark.spark
def test_duplicates_are_told_and_across_patients_are_a_leak(spark, folder: Path) -> None:
    one = folder / "sick" / "patient 0" / "0-0.png"
    for number in range(0, 12, 2):  # every sick patient: on all sides of the split
        target = folder / "sick" / f"patient {number // 2}" / "copy.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(one.read_bytes())
    other = folder / "well" / "patient 1" / "2-0.bmp"
    other.parent.mkdir(exist_ok=True)
    Image.open(folder / "sick" / "patient 1" / "2-0.png").save(other)
    notes = " ".join(prepared(folder).summary.notes)
    assert "1 files occur more than once, byte for byte (for example 'sick/pat" in notes
    assert "1 images occur more than once in files that differ" in notes
    assert "of them belong to more than one patient" in notes
    assert "are on two sides of the split: a LEAK" in notes
    assert "1 of them are in two classes: one label is wrong" in notes


@pytest.mark.slow
@pytest.mark.spark
def test_folder_without_duplicates_tells_of_none(spark, folder: Path) -> None:
    assert not [note for note in prepared(folder).summary.notes if "more than once" in note]
