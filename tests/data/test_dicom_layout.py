"""Folders of DICOM files: classes from folders or a table, patients from the headers."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data import dicom as extra
from data.config import DataConfig, ImageConfig
from data.errors import DataError
from data.ingest import prepare
from data.inputs import inputs_digest
from data.layouts import read_index
from data.layouts.dicom import read_patients
from data.layouts.listing import list_source
from data.reuse import RECIPE
from data.schema import FORMAT, UNUSED
from tests.data.dicom_files import dicom, save
from tests.data.layout_reading import column, read, rejects, touch

pytest.importorskip("pydicom")

VALUES = np.zeros((4, 4), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with 12 files; patients are in both, file names are as in hospitals."""
    for number in range(12):
        name = (f"IM{number:06}", f"1.2.840.{number}", f"scan{number}.DCM")[number % 3]
        path = tmp_path / ("benign", "malignant")[number % 2] / name
        save(path, dicom(VALUES, patient=f"P{number // 3} "))
    return tmp_path


def test_patients_are_those_of_the_headers(folder: Path):
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    index = read(folder)
    assert (index.layout, index.unit, index.table.num_rows) == ("dicom", "patient", 12)
    assert {*column(index, "patient_id")} == {"P0", "P1", "P2", "P3"}
    assert {*column(index, "class_name")} == {"benign", "malignant"}
    assert "malignant/1.2.840.1" in column(index, "image_id")
    assert not rejects(index)
    assert not index.notes
    assert index.holds_dicom
    assert index.reading[0] == (
        "read as DICOM files in class folders: 2 classes, 4 patients by PatientID, 12 images"
    )


def test_files_without_pixels_or_with_frames_are_rejects(folder: Path):
    save(folder / "benign/report.dcm", dicom(VALUES, Rows=0, Modality="SR", patient="P1"))
    save(folder / "benign/film.dcm", dicom(np.stack([VALUES] * 9), NumberOfFrames=9))
    save(folder / "benign/half.dcm", b"\x08\x00\x05\x00CS\x08")
    save(folder / "top.dcm", dicom(VALUES, patient="P9"))
    found = rejects(read(folder))
    assert found["benign/report.dcm"] == "a DICOM file without pixels (of the modality SR)"
    assert found["benign/film.dcm"].startswith("a DICOM file of 9 frames: save each frame as")
    assert found["top.dcm"] == "does not stand in a class folder with a name"
    assert "benign/half.dcm" in found
    assert len(found) == 4


def test_empty_patients_are_images_of_their_own_or_the_folders_below_the_class(folder: Path):
    save(folder / "benign/nobody.dcm", dicom(VALUES))
    index = read(folder)
    patients = dict(zip(column(index, "path"), column(index, "patient_id"), strict=True))
    assert patients["benign/nobody.dcm"] == "benign/nobody"
    assert "treated as a separate patient: 1 (for example 'benign/nobody.dcm')" in index.notes[0]
    (folder / "benign/nobody.dcm").unlink()
    for number in (7, 8):
        save(folder / f"benign/case {number}/a.dcm", dicom(VALUES))
    index = read(folder)
    assert {"case 7", "case 8", "P0"} <= {*column(index, "patient_id")}
    assert "grouped by the folder below their class: 2" in index.notes[0]


@pytest.mark.parametrize("patient", ["", "ANONYMOUS"])
def test_without_patients_each_image_is_a_group_and_the_reading_says_so(tmp_path, patient: str):
    for number in range(6):
        save(tmp_path / "ab"[number % 2] / f"{number}.dcm", dicom(VALUES, patient=patient))
    index = read(tmp_path)
    assert (index.layout, index.unit) == ("dicom", "image")
    assert column(index, "patient_id") == column(index, "image_id")
    assert "no header names a patient" in index.reading[1]
    assert [note for note in index.notes if "'ANONYMOUS'" in note] == [*index.notes]
    assert bool(index.notes) == bool(patient)


def test_table_labels_dicom_files_and_headers_name_the_patients(folder: Path):
    paths = list_source(str(folder)).images
    rows = [f"{path.rpartition('/')[2]},{'xy'[k % 2]}" for k, path in enumerate(paths)]
    (folder / "t.csv").write_text("\n".join(["file,label", *rows]))
    index = read(folder)
    assert (index.layout, index.unit, index.table.num_rows) == ("csv", "patient", 12)
    assert {*column(index, "patient_id")} == {"P0", "P1", "P2", "P3"}
    assert "group PatientID of DICOM; 2 classes, 4 patients, 12 images" in index.reading[0]
    (folder / "t.csv").write_text(
        "\n".join(["file,label,person", *(f"{row},Q{k // 4}" for k, row in enumerate(rows))])
    )
    assert {*column(read(folder), "patient_id")} == {"Q0", "Q1", "Q2"}


def test_pattern_of_the_user_wins_over_the_headers(folder: Path):
    index = read(folder, group_pattern=r"/(.)")
    assert (index.layout, {*column(index, "patient_id")}) == ("folders", {"I", "1", "s"})


def test_few_dicom_files_among_others_do_not_decide_the_layout(tmp_path: Path):
    touch(tmp_path, *(f"{name}/p{k}_{k}.png" for name in "ab" for k in range(4)))
    save(tmp_path / "a/p9_9.dcm", dicom(VALUES, patient="P9"))
    index = read(tmp_path, group_pattern=r"/(p\d)")
    assert (index.layout, index.table.num_rows) == ("folders", 9)


def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("base", "dicom", "listing", "__init__"):
        name = "data.layouts" if module == "__init__" else f"data.layouts.{module}"
        monkeypatch.setattr(f"{name}.is_available", lambda: False)
    monkeypatch.setattr("data.formats.is_available", lambda: False)


def test_without_the_extra_the_run_says_what_to_install(folder: Path, monkeypatch):
    without_extra(monkeypatch)
    with pytest.raises(DataError, match=r"holds 12 DICOM files\. .* --extra dicom .* --data /"):
        read(folder)
    touch(folder, *(f"{name}/p{k}_{k}.png" for name in "ab" for k in range(4)))
    index = read(folder, group_pattern=r"/(p\d)")
    assert index.table.num_rows == 8
    assert index.notes[-1] == f"DICOM files that were left out: 12. {extra.NEEDS_EXTRA}."
    kinds = {*index.rejects.column("kind").to_pylist()}
    assert FORMAT in kinds
    assert UNUSED not in kinds


def test_versions_of_the_decoders_count_only_where_there_is_dicom(folder: Path, monkeypatch):
    config = DataConfig(source=str(folder))
    before = inputs_digest(read_index(config), config)
    monkeypatch.setattr("data.inputs.versions", lambda: "pydicom 9")
    assert inputs_digest(read_index(config), config) != before


def test_patients_of_no_files_are_none(tmp_path: Path):
    touch(tmp_path, "1.png")
    found = read_patients(list_source(str(tmp_path)), ["1.png"])
    assert (found.names, found.problems, found.unit, found.notes) == ({}, {}, "image", ())


@pytest.mark.slow
@pytest.mark.spark
def test_executors_decode_dicom_and_name_the_decoder_in_the_recipe(tmp_path: Path):
    for number in range(24):
        values = np.full((8, 8), number * 10, np.uint8)
        place = tmp_path / "in" / ("sick", "well")[number % 2] / f"{number}.dcm"
        save(place, dicom(values, patient=f"P{number // 2}"))
    save(tmp_path / "in/sick/24.dcm", dicom(np.zeros((8, 8), np.uint8), patient="P0")[:-20])
    config = DataConfig(
        source=str(tmp_path / "in"), image=ImageConfig(height=8, width=8, color="grey")
    )
    data = prepare(config, str(tmp_path / "out"))
    assert (data.summary.layout, data.summary.unit) == ("dicom", "patient")
    assert data.summary.reject_kinds == {"unreadable": 1}
    rows, recipes = [], set()
    for part in [part for parts in data.summary.files.values() for part in parts]:
        table = pq.read_table(tmp_path / "out" / part.name)
        rows += table.select(["path", "pixels"]).to_pylist()
        recipes.add(table.schema.metadata[RECIPE])
    assert len(rows) == 24
    for row in rows:
        number = int(Path(row["path"]).stem)
        assert row["pixels"] == bytes([number * 10]) * 64
    assert all(extra.versions().encode() in recipe for recipe in recipes)
