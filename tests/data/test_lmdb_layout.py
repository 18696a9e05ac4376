"""LMDB databases of Caffe: labels, keys and pixels of their records."""

import io
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image
from pyarrow import fs

from data.appearance import Appearance, appearance, sizes
from data.chunks import read_image
from data.config import DataConfig, ImageConfig, SplitConfig
from data.datum import message_class, split_address
from data.describe import describe, sample_images
from data.errors import DataError
from data.images import UnreadableImage, decode_file
from data.ingest import prepare
from data.inputs import inputs_digest
from data.layouts.listing import list_source
from data.layouts.lmdb import Lmdb
from tests.data.layout_reading import column, read, rejects, touch

RED = np.zeros((9, 8, 3), np.uint8)
RED[..., 0] = 200


def datum(pixels: np.ndarray = RED, label: int = 0, **fields) -> bytes:
    """Return a message with raw pixels, given as (height, width, channels) in RGB order."""
    height, width, channels = pixels.shape
    raw = pixels[..., ::-1].transpose(2, 0, 1).tobytes()
    shape = {"channels": channels, "height": height, "width": width}
    return message_class()(**{**shape, "data": raw, "label": label, **fields}).SerializeToString()


def write(folder: Path, values: dict[str | bytes, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=2**20) as database, database.begin(write=True) as change:
        for key, value in values.items():
            change.put(key if isinstance(key, bytes) else key.encode(), value)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two databases with two patients each, as convert_imageset names their keys."""
    for part, first in (("train", 0), ("val", 2)):
        keys = [f"{n:08}_P{first + n // 2}/{n}.png" for n in range(4)]
        write(tmp_path / f"cells_{part}_lmdb", {k: datum(label=n % 2) for n, k in enumerate(keys)})
    return tmp_path


def test_labels_are_classes_and_keys_are_names(source: Path):
    index = read(source)
    assert (index.layout, index.unit, index.table.num_rows) == ("lmdb", "image", 8)
    assert {*column(index, "class_name")} == {"0", "1"}
    assert column(index, "image_id")[0] == "cells_train_lmdb/P0/0"
    assert column(index, "path")[0] == "cells_train_lmdb/data.mdb/00000000_P0/0.png"
    assert {*column(index, "fold")} == {"train", "val"}
    assert index.bytes_of(index.table.column("path")).to_pylist() == [
        len(datum(label=n % 2)) for n in (0, 1, 2, 3) * 2
    ]
    assert not rejects(index)
    assert not index.holds_dicom
    assert any("no patients are known" in line for line in index.reading)


def test_the_pattern_finds_patients_in_keys(source: Path):
    index = read(source, group_pattern=r"/(P\d)/")
    assert (index.unit, {*column(index, "patient_id")}) == ("patient", {"P0", "P1", "P2", "P3"})
    with pytest.raises(DataError, match="does not match the group pattern"):
        read(source, group_pattern=r"/(Q\d)/")


def test_keys_without_a_patient_are_counted_in_a_note(source: Path):
    index = read(source, group_pattern=r"(P[0-2])/")
    assert index.table.num_rows == 6
    assert index.notes == (
        "Images left out because the group pattern finds no patient in their key: 2 (for example "
        "'cells_val_lmdb/data.mdb/00000002_P3/2.png').",
    )


def test_the_size_of_records_is_found(source: Path):
    index = read(source)
    assert appearance(index, index.table) == Appearance(9, 8, is_grey=False)
    assert [*sizes(index.root, column(index, "path")[:1])] == [(9, 8)]


def test_records_are_shown(source: Path):
    description = describe(DataConfig(source=str(source)))
    shown = sample_images(description, per_class=1)
    assert {name: images[0].shape for name, images in shown.items()} == {
        "0": (9, 8, 3),
        "1": (9, 8, 3),
    }


@pytest.mark.slow
def test_databases_are_prepared_with_their_own_split(tmp_path: Path):
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        values: dict[str | bytes, bytes] = {}
        for n in range(24):
            pixels = generator.integers(0, 256, (8, 8, 3), np.uint8)
            values[f"{n:08}_{n}.png"] = datum(pixels, label=n % 2)
        write(tmp_path / "cells" / f"{part}_lmdb", values)
    config = DataConfig(
        source=str(tmp_path / "cells"),
        image=ImageConfig(height=8, width=8),
        split=SplitConfig(method="as-is"),
    )
    data = prepare(config, str(tmp_path / "prepared"))
    assert data.summary.layout == "lmdb"
    assert sum(part.rows for part in data.summary.files["test"]) == 24
    assert data.summary.rejects == 0


def test_a_text_file_names_the_classes(source: Path):
    (source / "labels.txt").write_text("healthy\nill\n")
    index = read(source)
    assert {*column(index, "class_name")} == {"healthy", "ill"}
    (source / "labels.txt").write_text("healthy\n")
    assert len(rejects(read(source))) == 4
    (source / "labels.txt").write_text("ill\nill\n")
    with pytest.raises(DataError, match="each once"):
        read(source)
    (source / "labels.txt").write_text("")
    with pytest.raises(DataError, match="empty"):
        read(source)


def test_the_folder_may_be_the_database_itself(tmp_path: Path):
    index = read(write(tmp_path / "db", {"a": datum(), "b": datum(label=1)}))
    assert column(index, "path") == ["data.mdb/a", "data.mdb/b"]
    assert column(index, "image_id") == ["a", "b"]


def test_a_lock_file_does_not_change_the_digest(source: Path):
    config = DataConfig(source=str(source))
    before = inputs_digest(read(source), config)
    (source / "cells_val_lmdb" / "lock.mdb").unlink()
    assert inputs_digest(read(source), config) == before


def test_pixels_are_those_of_the_record(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    grey = datum(pixels[..., :1])
    encoded = datum(data=stream.getvalue(), encoded=True)
    write(tmp_path, {"raw": datum(pixels), "png": encoded, "grey": grey})
    local = fs.LocalFileSystem()
    for key in ("raw", "png"):
        content = read_image(local, str(tmp_path), f"data.mdb/{key}")
        np.testing.assert_array_equal(decode_file(content, 9, 8, "rgb").pixels, pixels)
    content = read_image(local, str(tmp_path), "data.mdb/grey")
    np.testing.assert_array_equal(decode_file(content, 9, 8, "grey").pixels, pixels[..., :1])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datum(float_data=[0.5], data=b""), "floating-point"),
        (datum(channels=2), "2 x 9 x 8 is not"),
        (datum(data=b"123"), "damaged image: 3 bytes"),
        (b"\xff\xff", "not a Datum"),
    ],
)
def test_an_unusable_record_says_why(tmp_path: Path, value: bytes, reason: str):
    write(tmp_path, {"a": value})
    with pytest.raises(UnreadableImage, match=reason):
        read_image(fs.LocalFileSystem(), str(tmp_path), "data.mdb/a")


def test_records_without_usable_keys_or_messages_are_rejected(tmp_path: Path):
    write(tmp_path, {"a": datum(), b"\xff": datum(), "c": b"\xff\xff"})
    assert [*rejects(read(tmp_path)).values()] == [
        "damaged image: its value is not a Datum message of Caffe",
        "its key is no UTF-8 text",
    ]


def test_what_contradicts_databases_is_refused(source: Path, tmp_path: Path):
    with pytest.raises(DataError, match="omit --labels"):
        read(source, labels=str(source / "table.csv"))
    with pytest.raises(DataError, match="--class-pattern"):
        read(source, class_pattern="(a)")
    (source / "broken").mkdir()
    (source / "broken" / "data.mdb").write_bytes(b"text" * 2048)
    with pytest.raises(DataError, match=r"broken/data\.mdb: cannot be read as an LMDB"):
        read(source)


def test_image_files_beside_a_database_come_first(source: Path):
    touch(source, "a/1.png", "b/2.png")
    assert read(source).layout == "folders"
    assert read(source, layout="lmdb").table.num_rows == 8


def test_addresses_of_files_are_no_records():
    assert split_address("a/data.mdb") is None
    assert split_address("a/xdata.mdb/1.png") is None
    assert split_address("a/data.mdb/x/data.mdb/y") == ("a/data.mdb", "x/data.mdb/y")


def test_databases_in_an_object_store_are_refused(source: Path):
    listing = list_source(str(source))
    elsewhere = replace(listing, filesystem=fs.SubTreeFileSystem("/", listing.filesystem))
    with pytest.raises(DataError, match="copy the folder to a disk"):
        Lmdb().read(elsewhere, DataConfig(source=str(source)))
