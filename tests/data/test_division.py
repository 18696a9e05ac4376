"""Groups and sides of images: copies stay together, ready-made parts stay as they are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.config import DataConfig, ImageConfig, SplitConfig
from data.division import divide
from data.errors import DataError
from data.ingest import prepare
from data.layouts import read_index
from data.local_spark import local_context
from data.splitting import SplitManifest

SIZE = ImageConfig(height=32, width=32)


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    with local_context(2, "tests"):
        yield


def picture(seed: int) -> Image.Image:
    """Draw blots that no other seed has."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def draw(folder: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    return folder


def flat(folder: Path) -> Path:
    return draw(folder, [f"{name}/{n:02d}.png" for name in ("ill", "well") for n in range(15)])


def parts(folder: Path) -> Path:
    sizes = {"train": 6, "val": 3, "test": 3}
    names = [
        f"{part}/{name}/{n}.png"
        for part, size in sizes.items()
        for name in ("ill", "well")
        for n in range(size)
    ]
    return draw(folder, names)


def sides(config: DataConfig) -> dict[str, str]:
    """Return path -> side of the split."""
    division = divide(read_index(config), config)
    columns = (division.table.column(name).to_pylist() for name in ("path", "group"))
    return {
        path: division.manifest.assignments[group] for path, group in zip(*columns, strict=True)
    }


@pytest.mark.spark
def test_copies_are_one_group_and_stay_on_one_side(spark, tmp_path: Path) -> None:
    """Equal bytes, equal pixels in another format, and a copy saved again with loss."""
    folder = flat(tmp_path / "photographs")
    original = folder / "ill" / "03.png"
    (folder / "ill" / "same bytes.png").write_bytes(original.read_bytes())
    Image.open(original).save(folder / "ill" / "same pixels.bmp")
    Image.open(original).save(folder / "ill" / "with loss.jpg", quality=85)
    copies = [f"ill/{name}" for name in ("03.png", "same bytes.png", "same pixels.bmp")]
    copies.append("ill/with loss.jpg")
    config = DataConfig(source=str(folder), image=SIZE)
    division = divide(read_index(config), config)
    group_of = dict(zip(*(division.table[n].to_pylist() for n in ("path", "group")), strict=True))
    assert division.unit == division.manifest.by == "image"
    assert {group_of[path] for path in copies} == {"ill/03"}
    others = [group for path, group in group_of.items() if path not in copies]
    assert len(others) == len({*others}) == 29
    (note,) = [text for text in division.notes if "kept on one side" in text]
    assert note.startswith("1 sets of images that show the same")
    # Whatever the seed of the split is.
    for seed in range(5):
        found = sides(DataConfig(source=str(folder), image=SIZE, split=SplitConfig(seed=seed)))
        assert len({found[path] for path in copies}) == 1


@pytest.mark.spark
def test_ingest_and_manifest_divide_alike(spark, tmp_path: Path) -> None:
    config = DataConfig(source=str(flat(tmp_path / "photographs")), image=SIZE)
    manifest = divide(read_index(config), config).manifest
    data = prepare(config, str(tmp_path / "out"))
    assert data.manifest == manifest
    assert data.summary.unit == "image"
    assert SplitManifest.load(f"{data.uri}/split.json").checksum == manifest.checksum
    again = prepare(config, str(tmp_path / "out"))
    assert again.summary.fingerprint == data.summary.fingerprint


@pytest.mark.spark
def test_ready_made_parts_are_used_as_they_are(spark, tmp_path: Path) -> None:
    folder = parts(tmp_path / "photographs")
    asis = SplitConfig(method="as-is")
    found = sides(DataConfig(source=str(folder), split=asis))
    names = {"train": "train", "val": "validation", "test": "test"}
    assert found == {path: names[path.partition("/")[0]] for path in found}
    drawn = sides(DataConfig(source=str(folder)))
    assert drawn.keys() == found.keys()
    assert drawn != found


@pytest.mark.spark
def test_copies_in_two_ready_made_parts_are_called_a_leak(spark, tmp_path: Path) -> None:
    folder = parts(tmp_path / "photographs")
    copy = folder / "test" / "ill" / "copy.png"
    copy.write_bytes((folder / "train" / "ill" / "0.png").read_bytes())
    config = DataConfig(source=str(folder), image=SIZE, split=SplitConfig(method="as-is"))
    data = prepare(config, str(tmp_path / "out"))
    assert data.rows("test") == 7
    assert any("two sides of the split: a LEAK" in note for note in data.summary.notes)


@pytest.mark.spark
def test_validation_becomes_the_test_set_where_there_is_none(spark, tmp_path: Path) -> None:
    folder = draw(
        tmp_path / "photographs",
        [
            f"{part}/{name}/{n}.png"
            for part, size in (("train", 10), ("validation", 4))
            for name in ("ill", "well")
            for n in range(size)
        ],
    )
    config = DataConfig(source=str(folder), split=SplitConfig(method="as-is"))
    division = divide(read_index(config), config)
    found = sides(config)
    assert {side for path, side in found.items() if path.startswith("validation/")} == {"test"}
    rest = [side for path, side in found.items() if path.startswith("train/")]
    assert {*rest} == {"train", "validation"}
    assert rest.count("train") > rest.count("validation")
    assert any("validation drawn from the training images" in note for note in division.notes)


def test_patient_in_two_ready_made_parts_is_refused(tmp_path: Path) -> None:
    folder = draw(
        tmp_path / "photographs",
        [
            f"{part}/{name}/p{patient}/{patient}{number}.png"
            for part, people in (("train", range(8)), ("test", range(7, 12)))
            for name in ("ill", "well")
            for patient in people
            for number in range(2)
        ],
    )
    config = DataConfig(source=str(folder), split=SplitConfig(method="as-is"))
    with pytest.raises(DataError, match=r"1 patient stands in more .*p7 in test and train"):
        divide(read_index(config), config)


@pytest.mark.spark
def test_folder_without_parts_cannot_be_taken_as_it_is(spark, tmp_path: Path) -> None:
    folder = flat(tmp_path / "photographs")
    config = DataConfig(source=str(folder), split=SplitConfig(method="as-is"))
    with pytest.raises(DataError, match="--split as-is uses the folders train, val and test"):
        divide(read_index(config), config)


def test_class_and_patient_are_found_by_patterns(tmp_path: Path) -> None:
    folder = draw(tmp_path, [f"all/{c}-P{p}-{n}.png" for c in "ab" for p in range(3) for n in "12"])
    config = DataConfig(
        source=str(folder), class_pattern="/([ab])-", group_pattern=r"-(?P<patient>P\d)-"
    )
    table = read_index(config).table
    assert {*table.column("class_name").to_pylist()} == {"a", "b"}
    assert {*table.column("group").to_pylist()} == {"P0", "P1", "P2"}
