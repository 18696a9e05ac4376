from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from data.config import DataConfig
from data.describe import describe, describe_split, sample_images
from data.description import Description
from data.division import divide
from data.errors import DataError
from data.layouts import read_index
from data.plots import class_bars, save_plots
from data.synthetic import synthesize


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    return synthesize(folder, patients=8, cells_per_patient=8, size=16)


def describe_folder(folder: Path, **options) -> Description:
    return describe(DataConfig(source=str(folder), **options))


def test_counts_of_a_source_by_class_and_together(tmp_path):
    # Patient 1 has three cells from two photographs, patient 2 has one cell.
    for name in (
        "UID_1_1_1_all",
        "UID_1_1_2_all",
        "UID_1_2_1_all",
        "UID_2_1_1_all",
        "UID_H1_1_1_hem",
    ):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.bmp")
    description = describe_folder(tmp_path)
    sick, healthy = description.classes
    assert (sick.class_name, sick.images, sick.photographs, sick.patients) == ("all", 4, 3, 2)
    assert (sick.fewest, sick.median, sick.most) == (1, 2, 3)
    assert (healthy.images, healthy.patients) == (1, 1)
    total = description.total
    assert (total.images, total.photographs, total.patients) == (5, 4, 3)
    assert not description.synthetic


def test_counts_of_a_split_add_up(synthetic):
    index = read_index(DataConfig(source=str(synthetic)))
    description = describe_split(index, divide(index, DataConfig()))
    assert list(description.splits) == ["train", "validation", "test"]
    for place, counts in enumerate((*description.classes, description.total)):
        parts = [split[place] for split in description.splits.values()]
        assert {part.class_name for part in parts} == {counts.class_name}
        assert sum(part.images for part in parts) == counts.images
        assert sum(part.patients for part in parts) == counts.patients


def test_samples_come_from_different_patients(tmp_path):
    for patient in range(6):
        for cell in range(3):
            grey = Image.new("L", (8, 8), 10 * patient)
            for name in ("a", "b"):
                (tmp_path / name).mkdir(exist_ok=True)
                grey.save(tmp_path / name / f"p{patient}_{cell}.png")
    samples = sample_images(describe_folder(tmp_path, group_pattern=r"(p\d)"), per_class=4)
    assert set(samples) == {"a", "b"}
    for images in samples.values():
        assert {image.shape for image in images} == {(8, 8)}
        assert len({int(image[0, 0]) for image in images}) == 4


def test_samples_of_few_patients_take_turns(tmp_path):
    for name in ("UID_1_1_1_all", "UID_1_1_2_all", "UID_2_1_1_all", "UID_H1_1_1_hem"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.bmp")
    samples = sample_images(describe_folder(tmp_path), per_class=8)
    assert [len(images) for images in samples.values()] == [3, 1]


def test_unreadable_sample_is_named(tmp_path):
    (tmp_path / "UID_1_1_1_all.bmp").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"UID_1_1_1_all\.bmp cannot be shown"):
        sample_images(describe_folder(tmp_path))


@pytest.mark.slow
def test_plots_of_synthetic_images_are_stamped_and_not_blank(synthetic, tmp_path):
    description = describe_folder(synthetic)
    assert description.synthetic
    paths = save_plots(description, sample_images(description), tmp_path / "plots")
    assert [path.name for path in paths] == ["classes.png", "images_per_patient.png", "samples.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    assert "SYNTHETIC" in class_bars(description).get_suptitle()


def test_bars_show_the_counts(synthetic):
    description = describe_folder(synthetic)
    cells, photographs, patients = class_bars(description).axes
    assert [axis.get_title() for axis in (cells, photographs, patients)] == [
        "cells per class",
        "photographs per class",
        "patients per class",
    ]
    heights = [
        [bar.get_height() for bar in axis.patches if isinstance(bar, Rectangle)]
        for axis in (cells, patients)
    ]
    assert heights == [[counts.images for counts in description.classes], [4, 4]]


def test_lesions_are_not_called_patients(tmp_path):
    for number in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"ISIC_{number}.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx\nHAM_0,ISIC_0,nv\nHAM_1,ISIC_1,mel\n"
    )
    titles = [axis.get_title() for axis in class_bars(describe_folder(tmp_path)).axes]
    assert titles == ["images per class", "lesions per class"]
