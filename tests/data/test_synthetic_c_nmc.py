"""The full shape of C-NMC: its folds, patients and counts, with any source of names."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import synthetic_c_nmc
from data.c_nmc_shape import FINAL_FOLDER, PRELIMINARY_FOLDER, PRELIMINARY_LABELS, people
from data.classes import select_classes
from data.config import DataConfig
from data.errors import DataError
from data.layouts import read_index
from data.layouts.c_nmc import parse_name
from data.splitting import make_split
from data.synthetic import is_synthetic
from data.synthetic_c_nmc import synthesize_c_nmc
from experiments.loading import load
from tests.data.layout_reading import rejects

Shape = Counter[tuple[str, str, str]]


def shape(paths: list[str]) -> Shape:
    """Count the images of each fold, class and patient."""
    counted: Shape = Counter()
    for path in paths:
        cell = parse_name(path)
        assert cell is not None
        counted[path.split("/")[-3], cell.class_name, cell.patient_id] += 1
    return counted


def training(file_list: Path | None) -> list[str]:
    everybody = people(file_list, seed=0)
    return [file for person in everybody for file in person.files if "/fold_" in file]


@pytest.fixture(scope="module")
def file_list(real_data: Path) -> Path:
    path = real_data / "c-nmc-file-list.tsv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    return path


def test_made_up_names_have_the_published_counts() -> None:
    files = [file for person in people(None, seed=0) for file in person.files]
    assert len(files) == len({*files}) == 15_114
    counted = shape([file for file in files if "/fold_" in file])
    images: Counter[str] = Counter()
    for (_, name, _), count in counted.items():
        images[name] += count
    assert images == {"all": 7272, "hem": 3389}
    assert Counter(name for _, name, _ in counted) == {"all": 47, "hem": 26}
    assert sum(file.startswith(PRELIMINARY_FOLDER) for file in files) == 1867
    assert sum(file.startswith(FINAL_FOLDER) for file in files) == 2586


def test_made_up_names_have_the_patients_and_folds_of_the_publishers_list(file_list: Path) -> None:
    assert shape(training(None)) == shape(training(file_list))


def test_names_of_the_list_are_taken_as_they_are(file_list: Path, official_names: set[str]) -> None:
    files = {file for person in people(file_list, seed=0) for file in person.files}
    assert files == official_names
    assert sum("/UID_h3_" in file for file in files) == 36


@pytest.fixture(scope="module")
def official_names(file_list: Path) -> set[str]:
    import gzip

    with gzip.open(file_list, "rt") as lines:
        paths = [line.split("\t")[0].partition("/")[2] for line in lines]
    return {path for path in paths if path.endswith(".bmp")}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize_c_nmc(tmp_path_factory.mktemp("like") / "set", size=16, share=0.02, workers=2)


@pytest.mark.slow
def test_set_reads_as_c_nmc_with_every_patient(drawn: Path) -> None:
    index = read_index(DataConfig(source=str(drawn)))
    assert (index.layout, rejects(index)) == ("c-nmc", {})
    rows = index.table.to_pylist()
    patients = {
        (row["fold"] == "preliminary", row["class_name"], row["patient_id"]) for row in rows
    }
    held_out = Counter((test, name) for test, name, _ in patients)
    assert held_out == {
        (False, "all"): 47,
        (False, "hem"): 26,
        (True, "all"): 13,
        (True, "hem"): 15,
    }
    assert "left out because no labels file lists them" in index.notes[0]
    assert is_synthetic(drawn)
    with Image.open(drawn / rows[0]["path"]) as image:
        assert (image.format, image.mode, image.size) == ("BMP", "RGB", (16, 16))


def test_labels_file_is_the_publishers(drawn: Path) -> None:
    with (drawn / PRELIMINARY_LABELS).open(newline="") as lines:
        rows = [*csv.DictReader(lines)]
    assert [*rows[0]] == ["Patient_ID", "new_names", "labels"]
    for row in rows:
        cell = parse_name(row["Patient_ID"])
        assert cell is not None
        assert (cell.class_name == "all") == (row["labels"] == "1")
    assert {row["new_names"] for row in rows} == {
        path.name for path in (drawn / PRELIMINARY_FOLDER).iterdir()
    }


@pytest.mark.slow
def test_challenge_trains_on_the_folds_and_tests_on_the_preliminary_test(drawn: Path) -> None:
    config = load("c-nmc-challenge").data.model_copy(update={"source": str(drawn)})
    table = select_classes(read_index(config), config.classes)[0]
    sides = make_split(table, config.split).assignments
    folds = dict(zip(*(table.column(n).to_pylist() for n in ("group", "fold")), strict=True))
    by_fold = {fold: {sides[g] for g in folds if folds[g] == fold} for fold in {*folds.values()}}
    assert by_fold == {
        "fold_0": {"train"},
        "fold_1": {"train"},
        "fold_2": {"validation"},
        "preliminary": {"test"},
    }


@pytest.mark.slow
def test_workers_do_not_change_a_file(drawn: Path, tmp_path: Path) -> None:
    again = synthesize_c_nmc(tmp_path / "again", size=16, share=0.02, workers=1)
    for file in drawn.rglob("*"):
        if file.is_file():
            assert (again / file.relative_to(drawn)).read_bytes() == file.read_bytes()


def test_large_images_are_enlarged_cells_of_the_official_bytes(tmp_path: Path) -> None:
    person = people(None, seed=0)[0].thinned(0.01)
    (tmp_path / person.files[0]).parent.mkdir(parents=True)
    synthetic_c_nmc._draw_person(tmp_path, 0, person, 450, 0)
    file = tmp_path / person.files[0]
    assert file.stat().st_size == 608_454 == synthetic_c_nmc._bmp_bytes(450)
    with Image.open(file) as image:
        pixels = np.asarray(image)
    assert pixels[200:250, 200:250].mean() > 30
    assert np.median(pixels[0]) == 0


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_senseless_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(DataError, match="more than 0 and at most 1"):
        synthesize_c_nmc(tmp_path / "set", share=share)


def test_disk_that_is_too_small_is_told_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    with pytest.raises(DataError, match=r"would take 9\.2 GB, but 1\.0 GB are free"):
        synthesize_c_nmc(tmp_path / "set")
    assert not any(tmp_path.iterdir())


def test_list_without_c_nmc_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such list of files"):
        people(tmp_path / "missing.tsv", seed=0)
    (tmp_path / "other.tsv").write_text("path\tsize\ncats/1.bmp\t3\n")
    with pytest.raises(DataError, match="lists no training image of C-NMC"):
        people(tmp_path / "other.tsv", seed=0)
