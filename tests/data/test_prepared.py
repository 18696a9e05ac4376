"""A data set is opened only if it is complete and its split keeps each patient on one side."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from data.prepared import FilePart, Summary, open_prepared
from data.schema import IMAGE_SCHEMA
from data.splitting import SplitManifest

GROUPS = {
    "train": ("1", "2", "H1", "H2"),
    "validation": ("3", "H3"),
    "test": ("4", "H4"),
}


def image_row(split: str, group: str, number: int) -> dict[str, Any]:
    label = int(group.startswith("H"))
    return {
        "image_id": f"{group}_{number}",
        "path": f"{group}_{number}.bmp",
        "label": label,
        "class_name": ("all", "hem")[label],
        "patient_id": group,
        "group": group,
        "height": 2,
        "width": 2,
        "channels": 1,
        "pixels": bytes([number] * 4),
        "split": split,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared data set of 8 patients with 5 images each, written without Spark."""
    files: dict[str, tuple[FilePart, ...]] = {}
    for split, groups in GROUPS.items():
        rows = [image_row(split, group, number) for group in groups for number in range(5)]
        name = f"{split}-00000.parquet"
        pq.write_table(pa.Table.from_pylist(rows, IMAGE_SCHEMA), tmp_path / name)
        files[split] = (FilePart(name=name, rows=len(rows)),)
    sides = {group: split for split, groups in GROUPS.items() for group in groups}
    manifest = SplitManifest("patient", 0, sides)
    manifest.save(tmp_path / "split.json")
    summary = Summary(
        fingerprint="0",
        split_checksum=manifest.checksum,
        class_names=("all", "hem"),
        image_shape=(2, 2, 1),
        synthetic=True,
        source="by hand",
        layout="c-nmc",
        files=files,
        rejects=0,
    )
    (tmp_path / "dataset.json").write_text(summary.model_dump_json())
    return tmp_path


@pytest.fixture
def rewrite(folder: Path) -> Callable[..., None]:
    """Change columns of the first row of the training file."""

    def change(**values: str) -> None:
        path = folder / "train-00000.parquet"
        rows = pq.read_table(path).to_pylist()
        rows[0].update(values)
        pq.write_table(pa.Table.from_pylist(rows, IMAGE_SCHEMA), path)

    return change


def test_a_whole_data_set_opens(folder: Path):
    prepared = open_prepared(folder)
    assert [prepared.rows(split) for split in GROUPS] == [20, 10, 10]
    assert prepared.index("test").column("group").to_pylist() == ["4"] * 5 + ["H4"] * 5


def test_shards_and_slices_cover_the_split(folder: Path):
    prepared = open_prepared(folder)
    whole = prepared.shard("train").read().image_ids
    for parts in (prepared.patient_shards("train", 3), prepared.row_slices("train", 3)):
        assert [name for part in parts for name in part.read().image_ids] == whole
    patients = [
        {n.split("_")[0] for n in s.read().image_ids} for s in prepared.patient_shards("train", 3)
    ]
    assert sum(map(len, patients)) == len(GROUPS["train"])


def test_more_workers_than_patients_are_refused(folder: Path):
    with pytest.raises(DataError, match="use fewer --workers"):
        open_prepared(folder).patient_shards("test", 3)


def test_an_unfinished_folder_is_no_data_set(folder: Path):
    (folder / "dataset.json").unlink()
    with pytest.raises(DataError, match="no finished data set"):
        open_prepared(folder)


def test_a_missing_folder_is_no_data_set(tmp_path: Path):
    with pytest.raises(DataError, match="no finished data set"):
        open_prepared(tmp_path / "nowhere")


def test_a_tampered_manifest_is_refused(folder: Path):
    path = folder / "split.json"
    content = json.loads(path.read_text())
    content["assignments"]["4"] = "train"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="changed after it was written"):
        open_prepared(folder)


def test_the_manifest_of_another_data_set_is_refused(folder: Path):
    sides = {group: split for split, groups in GROUPS.items() for group in groups}
    SplitManifest("patient", 0, sides | {"4": "train"}).save(folder / "split.json")
    with pytest.raises(DataError, match="changed after the data set was created"):
        open_prepared(folder)


def test_a_row_whose_group_stands_on_another_side_is_refused(folder: Path, rewrite):
    rewrite(group="4", patient_id="4")
    with pytest.raises(DataError, match=r"group 4 is in 'train', but the manifest .* 'test'"):
        open_prepared(folder)


def test_a_row_of_an_unknown_group_is_refused(folder: Path, rewrite):
    rewrite(group="99")
    with pytest.raises(DataError, match="group 99"):
        open_prepared(folder)


def test_a_row_that_claims_another_split_is_refused(folder: Path, rewrite):
    rewrite(split="test")
    with pytest.raises(DataError, match="is in 'train'"):
        open_prepared(folder)


@pytest.mark.parametrize("name", ["4", "\u200b4 "])
def test_a_patient_on_two_sides_is_refused_even_when_the_groups_agree(folder, rewrite, name):
    rewrite(patient_id=name)
    with pytest.raises(DataError, match="patient 4 is in 'train' and in 'test'"):
        open_prepared(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\0"])
def test_a_damaged_summary_is_refused(folder: Path, content: str):
    (folder / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        open_prepared(folder)


def test_a_data_set_of_another_format_is_refused(folder: Path):
    path = folder / "dataset.json"
    path.write_text(path.read_text().replace('"format":1', '"format":99'))
    with pytest.raises(DataError, match="has format 99"):
        open_prepared(folder)
