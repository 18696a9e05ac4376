import io
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from data.caffe_lmdb import count, images_of
from data.config import DataConfig, ImageConfig
from data.describe import describe
from data.errors import DataError
from data.ingest import prepare
from data.layouts import read_index
from tests.data.lmdb_files import write

Entry = tuple[str, np.ndarray | bytes, int]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sparkdl-bench"


def images(number: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, (9, 11, 3), np.uint8) for _ in range(number)]


def entries(patients: int = 12) -> list[Entry]:
    """Two images of each patient; the even ones are of class 0."""
    paths = [f"cells/P{patient:02d}_{cell}.bmp" for patient in range(patients) for cell in (0, 1)]
    return [
        (path, image, int(path[7:9]) % 2)
        for path, image in zip(paths, images(2 * patients), strict=True)
    ]


def encoded(image: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def test_pixels_and_classes_are_those_of_the_database(tmp_path: Path) -> None:
    written = entries()
    write(tmp_path / "train_lmdb", written)
    (tmp_path / "labels.txt").write_text("healthy\nsick cells\n")
    folder = Path(images_of(str(tmp_path / "train_lmdb")))
    found = sorted(folder.rglob("*.png"), key=lambda path: path.name)
    assert len(found) == count(tmp_path / "train_lmdb") == len(written)
    for path, (name, pixels, label) in zip(found, written, strict=True):
        assert path.parent.name == ("healthy", "sick cells")[label]
        assert path.stem[9:] == name.replace("/", "_").removesuffix(".bmp")
        np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


def test_database_is_prepared_by_patient_and_unpacked_once(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "lmdb", entries())
    config = DataConfig(
        source=str(tmp_path / "lmdb"),
        group_pattern="(P[0-9]+)_",
        image=ImageConfig(height=9, width=11),
    )
    index = read_index(config)
    assert index.reading[0].startswith(f"the images of the LMDB {config.source} were unpacked to")
    (folder,) = cache.iterdir()
    before = folder.stat().st_mtime_ns
    data = prepare(config, str(tmp_path / "prepared"))
    assert data.class_names == ("0", "1")
    assert sum(data.rows(split) for split in ("train", "validation", "test")) == 24
    assert data.summary.unit == "patient"
    assert [one.name for one in cache.iterdir()] == [folder.name]
    assert folder.stat().st_mtime_ns == before
    assert sum(one.images for one in describe(config).classes) == 24


def test_encoded_files_are_kept_as_they_are(tmp_path: Path) -> None:
    contents = [
        encoded(image, kind) for image, kind in zip(images(2), ("JPEG", "PNG"), strict=True)
    ]
    write(tmp_path / "lmdb", [("a.jpg", contents[0], 0), ("b.png", contents[1], 1)])
    folder = Path(images_of(str(tmp_path / "lmdb")))
    assert (folder / "0" / "00000000_a.jpg").read_bytes() == contents[0]
    assert (folder / "1" / "00000001_b.png").read_bytes() == contents[1]


def test_databases_by_part_are_the_parts_of_a_source(tmp_path: Path) -> None:
    for part in ("cells_train_lmdb", "cells_val_lmdb", "cells_test_lmdb"):
        write(tmp_path / "all" / part, entries(4))
    folder = Path(images_of(str(tmp_path / "all")))
    assert {path.name for path in folder.iterdir()} == {"train", "validation", "test"}
    assert len([*folder.glob("*/*/*.png")]) == 24


def test_source_that_is_no_database_is_returned(cells: Path) -> None:
    for source in (str(cells), "synthetic", "s3://bucket/cells", "nowhere", "~nobody-at-all/x"):
        assert images_of(source) == source


def test_unusable_databases_are_refused_and_leave_nothing(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "empty", [])
    write(tmp_path / "float", [("a", np.zeros((4, 4, 2), np.uint8), 0)])
    write(tmp_path / "text", [("a", b"no image", 0)])
    for name, words in {
        "empty": "is an LMDB without images",
        "float": "only 8-bit images of 1 or 3 channels can be read",
        "text": "in none of the formats JPEG, PNG, BMP and GIF",
    }.items():
        with pytest.raises(DataError, match=words):
            images_of(str(tmp_path / name))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.mdb").write_bytes(b"no database")
    with pytest.raises(DataError, match="cannot be read as an LMDB"):
        images_of(str(tmp_path / "other"))
    with lmdb.open(str(tmp_path / "words")) as environment, environment.begin(write=True) as one:
        one.put(b"key", b"\xff\xff")
    with pytest.raises(DataError, match="the entry key is not a Datum of Caffe"):
        images_of(str(tmp_path / "words"))
    write(tmp_path / "many" / "one", entries(2))
    write(tmp_path / "many" / "two", entries(2))
    with pytest.raises(DataError, match="their names do not say which is train, val or test"):
        images_of(str(tmp_path / "many"))
    assert [path.name for path in cache.iterdir()] == []
