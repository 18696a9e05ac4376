"""Synthetic cells have names as in C-NMC, are equal for equal seeds, and are marked."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import synthetic, synthetic_cells
from data.classes import select_classes
from data.config import DataConfig, SplitConfig
from data.errors import DataError
from data.layouts import read_index
from data.splitting import make_split
from data.synthetic import NOTICE_FILE, is_synthetic, synthesize, synthetic_source
from data.synthetic_cells import draw_blocks, draw_cells
from data.synthetic_mark import shows_synthetic


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("small") / "cells", patients=12, cells_per_patient=5)


def test_names_and_folders_read_as_c_nmc(cells: Path):
    index = read_index(DataConfig(source=str(cells)))
    assert index.layout == "c-nmc"
    assert index.rejects.column("path").to_pylist() == ["SYNTHETIC.txt"]
    assert index.table.num_rows == len([*cells.rglob("*.bmp")])
    rows = index.table.to_pylist()
    classes = {row["patient_id"]: row["class_name"] for row in rows}
    assert Counter(classes.values()) == {"all": 6, "hem": 6}
    assert all((name == "hem") == patient.startswith("H") for patient, name in classes.items())
    assert {row["fold"] for row in rows} == {"fold_0", "fold_1", "fold_2"}


def test_each_fold_has_both_classes(cells: Path):
    for fold in sorted((cells / "training_data").iterdir()):
        assert all(any((fold / label).iterdir()) for label in ("all", "hem"))


def test_cells_lie_on_black_in_24_bit_bmp(cells: Path):
    for file in cells.rglob("*.bmp"):
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size) == ("BMP", "RGB", (96, 96))
            pixels = np.asarray(image)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert np.median(border) == 0
        assert pixels[40:56, 40:56].mean() > 30


def test_the_set_says_that_it_is_synthetic(cells: Path):
    assert is_synthetic(cells)
    assert "no patient and no real cell" in (cells / "SYNTHETIC.txt").read_text()


@pytest.mark.slow
def test_equal_seeds_give_equal_files_whatever_the_workers(cells: Path, tmp_path: Path):
    def content(folder: Path) -> dict[str, bytes]:
        return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.bmp")}

    again = synthesize(tmp_path / "again", patients=12, cells_per_patient=5, workers=1)
    other = synthesize(tmp_path / "other", patients=12, cells_per_patient=5, seed=1)
    assert content(again) == content(cells)
    assert not set(content(other).values()) & set(content(cells).values())


@pytest.mark.slow
def test_stain_belongs_to_the_patient_and_not_to_the_class():
    """Colors differ between patients far more than between the means of the classes."""
    hues: dict[str, list[np.ndarray]] = {"all": [], "hem": []}
    for number in range(60):
        label = ("all", "hem")[number % 2]
        pixels = draw_cells(label, 6, 48, np.random.default_rng([5, number]))
        center = pixels[:, 18:30, 18:30].reshape(-1, 3).mean(axis=0)
        hues[label].append(center / center.sum())
    between_patients = np.mean([np.std(values, axis=0) for values in hues.values()])
    between_classes = abs(np.mean(hues["all"], axis=0) - np.mean(hues["hem"], axis=0)).mean()
    assert between_patients > 2 * between_classes


@pytest.mark.slow
def test_blasts_are_larger_with_overlap():
    areas = {}
    for seed, label in enumerate(("all", "hem")):
        drawn = [draw_cells(label, 10, 48, np.random.default_rng([seed, n])) for n in range(20)]
        areas[label] = (np.concatenate(drawn).max(axis=-1) > 20).mean(axis=(1, 2))
    assert areas["all"].mean() > areas["hem"].mean()
    assert np.quantile(areas["all"], 0.05) < np.quantile(areas["hem"], 0.95)


def test_large_cells_can_be_drawn():
    pixels = draw_cells("all", 1, 450, np.random.default_rng(0))
    assert pixels.shape == (1, 450, 450, 3)


def test_patients_too_large_for_one_block_keep_their_stain(monkeypatch):
    """Colors differ more between patients than between the blocks of one patient."""
    monkeypatch.setattr(synthetic_cells, "BLOCK_PIXELS", 6 * 48**2)
    means = np.array(
        [
            [block[:, 18:30, 18:30].mean(axis=(0, 1, 2)) for block in blocks]
            for blocks in (
                [*draw_blocks("all", 20, 48, np.random.default_rng([9, number]))]
                for number in range(12)
            )
            if [len(block) for block in blocks] == [6, 6, 6, 2]
        ]
    )
    assert means.shape == (12, 4, 3)
    assert means[:, :3].std(axis=1).mean() < means.mean(axis=1).std(axis=0).mean() / 2


def test_a_patient_of_one_block_is_drawn_as_a_whole():
    whole = draw_cells("hem", 7, 32, np.random.default_rng(4))
    blocks = [*draw_blocks("hem", 7, 32, np.random.default_rng(4))]
    assert len(blocks) == 1
    np.testing.assert_array_equal(blocks[0], whole)
    assert synthetic_cells.BLOCK_PIXELS > 56 * 96**2, "the default set is drawn as ever"


def test_a_folder_with_content_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        synthesize(tmp_path, patients=2, cells_per_patient=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("wrong", [{"patients": 1}, {"cells_per_patient": 0}, {"size": 4}])
def test_senseless_parameters_are_refused(tmp_path: Path, wrong: dict[str, int]):
    with pytest.raises(DataError):
        synthesize(tmp_path / "cells", **wrong)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_default_set_is_small_and_drawn_once(tmp_path: Path, monkeypatch):
    source = synthetic_source(tmp_path / "prepared")
    assert source.parent == tmp_path
    assert sum(file.stat().st_size for file in source.rglob("*")) < 50e6
    table, *_ = select_classes(read_index(DataConfig(source=str(source))), None)
    split = make_split(table, SplitConfig())
    sides = Counter(split.assignments.values())
    assert sides["test"] == 16, "an interval over patients needs 8 at least"
    monkeypatch.setattr(synthetic, "synthesize", lambda *_: pytest.fail("drawn again"))
    assert synthetic_source(tmp_path / "prepared") == source


def test_every_way_to_name_the_images_shows_the_mark(cells: Path, tmp_path: Path):
    """The folder, a part of it, its parent, a link into it, and a table elsewhere."""
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(cells / "training_data")
    images = sorted(cells.rglob("*.bmp"))
    lines = [f"{path},{path.parent.name},{path.name.split('_')[1]}" for path in images]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,group", *lines]))
    (tmp_path / "files").mkdir()
    for path in images[:2]:
        (tmp_path / "files" / path.name).symlink_to(path)
    named = [cells, cells.parent, *(cells / "training_data").rglob("fold_*"), images[0].parent]
    for source in (*named, tmp_path / "outer", tmp_path / "t.csv", tmp_path / "files"):
        assert shows_synthetic(read_index(DataConfig(source=str(source)))), source


def test_real_images_have_no_mark(cells: Path, tmp_path: Path):
    real = tmp_path / "a" / "b" / "c" / "d"
    shutil.copytree(cells / "training_data", real)
    shutil.copy(cells / NOTICE_FILE, tmp_path)
    assert not shows_synthetic(read_index(DataConfig(source=str(real))))
