"""Every file becomes a row or a reject, and no incomplete data set is accepted."""

import errno
import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import ingest
from data.chunks import Chunk, ImageSize, pack_rows, recipe, write_chunk
from data.config import DataConfig, ImageConfig, SplitConfig
from data.errors import DataError
from data.images import decode
from data.ingest import prepare
from data.local_spark import local_context
from data.output import write_error
from data.prepared import PreparedData, open_prepared
from data.row_order import order_rows, take_turns
from data.schema import INDEX_SCHEMA, SPLITS
from data.splitting import SplitManifest
from data.synthetic import synthesize

IMAGE = ImageConfig(height=24, width=20)
#: Two unreadable files with different reasons.
BROKEN = {"empty file": b"", "not an image": b"no pixels here"}


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One Spark session for the whole module: `prepare` uses the running one."""
    with local_context(2, "tests"):
        yield


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(
        tmp_path_factory.mktemp("ingest") / "cells", patients=20, cells_per_patient=8, size=32
    )


@pytest.fixture
def source(cells: Path, tmp_path: Path) -> Path:
    """A copy of the cells that a test may damage."""
    return Path(shutil.copytree(cells, tmp_path / "source"))


def config_for(source: Path, **changes) -> DataConfig:
    return DataConfig(source=str(source), image=IMAGE, **changes)


def rows_of(prepared: PreparedData) -> list[dict]:
    files = [part.name for split in SPLITS for part in prepared.summary.files[split]]
    tables = [pq.read_table(Path(prepared.uri) / name) for name in files]
    return pa.concat_tables(tables).to_pylist()


def rejects_of(prepared: PreparedData) -> dict[str, str]:
    rows = pq.read_table(Path(prepared.uri) / "rejects.parquet").to_pylist()
    return {row["path"]: row["reason"] for row in rows}


def break_files(source: Path) -> list[str]:
    victims = sorted(source.rglob("*.bmp"))[:: len([*source.rglob("*.bmp")]) // 2][:2]
    for victim, content in zip(victims, BROKEN.values(), strict=True):
        victim.write_bytes(content)
    return [str(victim.relative_to(source)) for victim in victims]


@pytest.mark.slow
@pytest.mark.spark
def test_each_file_is_a_row_or_a_reject_with_its_reason(spark, source: Path, tmp_path: Path):
    broken = break_files(source)
    (source / "training_data" / "fold_0" / "all" / "notes.png").write_bytes(b"x")
    prepared = prepare(config_for(source), str(tmp_path / "out"))
    rows, rejects = rows_of(prepared), rejects_of(prepared)
    files = [str(f.relative_to(source)) for f in source.rglob("*") if f.is_file()]
    assert sorted([*(row["path"] for row in rows), *rejects]) == sorted(files)
    assert [rejects[path] for path in broken] == [*BROKEN]
    assert prepared.summary.rejects == len(rejects) - 1 == 3  # the notice is not an image


@pytest.mark.slow
@pytest.mark.spark
def test_pixels_are_those_of_the_decoder(spark, cells: Path, tmp_path: Path):
    rows = rows_of(prepare(config_for(cells), str(tmp_path / "out")))
    assert rows
    for row in rows:
        pixels = np.frombuffer(row["pixels"], np.uint8).reshape(24, 20, 3)
        np.testing.assert_array_equal(
            pixels, decode((cells / row["path"]).read_bytes(), 24, 20, "rgb")
        )


@pytest.mark.slow
@pytest.mark.spark
def test_the_fingerprint_depends_on_the_content_alone(
    spark, source: Path, tmp_path: Path, monkeypatch
):
    """Location, files and workers do not change the fingerprint; one more pixel does."""
    first = prepare(config_for(source), str(tmp_path / "first"))
    moved = source.rename(tmp_path / "moved")
    monkeypatch.setattr(ingest, "FILE_ROWS", 17)
    second = prepare(config_for(moved), str(tmp_path / "second"), workers=1)
    assert len(second.summary.files["train"]) > len(first.summary.files["train"])
    assert second.summary.fingerprint == first.summary.fingerprint
    names = [row["image_id"] for row in rows_of(first)]
    assert [row["image_id"] for row in rows_of(second)] == names

    victim = next(moved.rglob("*.bmp"))
    content = bytearray(victim.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    victim.write_bytes(content)
    third = prepare(config_for(moved), str(tmp_path / "third"))
    assert third.summary.fingerprint != first.summary.fingerprint


@pytest.mark.slow
@pytest.mark.spark
def test_a_second_prepare_opens_what_is_there(spark, source: Path, tmp_path: Path, monkeypatch):
    config, output = config_for(source), tmp_path / "out"
    first = prepare(config, str(output))
    monkeypatch.setattr(ingest, "run_tasks", lambda *_, **__: pytest.fail("decoded again"))
    assert prepare(config, str(output)) == first


@pytest.mark.slow
@pytest.mark.spark
def test_changed_images_are_prepared_again(spark, source: Path, tmp_path: Path):
    config, output = config_for(source), tmp_path / "out"
    before = len(rows_of(prepare(config, str(output))))
    next(source.rglob("*.bmp")).unlink()
    assert len(rows_of(prepare(config, str(output)))) == before - 1


@pytest.mark.slow
@pytest.mark.spark
def test_a_folder_of_another_configuration_is_kept(spark, cells: Path, tmp_path: Path):
    output = tmp_path / "out"
    first = prepare(config_for(cells), str(output))
    with pytest.raises(DataError, match=r"another configuration \(different: split"):
        prepare(config_for(cells, split=SplitConfig(seed=9)), str(output))
    assert open_prepared(output) == first


@pytest.mark.slow
@pytest.mark.spark
def test_an_interrupted_prepare_leaves_nothing_whole_and_can_be_repeated(
    spark, cells: Path, tmp_path: Path, monkeypatch
):
    output = tmp_path / "out"

    def interrupted(*_, **__) -> None:
        (output / "train-00000.parquet").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "run_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config_for(cells), str(output))
    # The remains are marked as unfinished; they are removed or resumed.
    assert (output / "unfinished.txt").exists()
    (output / "train-00099.parquet.unfinished").write_bytes(b"half")
    with pytest.raises(DataError, match="no finished data set"):
        open_prepared(output)
    prepared = prepare(config_for(cells), str(output))
    assert prepared == open_prepared(output)
    assert not [*output.glob("*unfinished*")]


@pytest.mark.spark
def test_too_many_unreadable_images_stop_the_ingest(spark, source: Path, tmp_path: Path):
    files = sorted(source.rglob("*.bmp"))
    for file in files[::3]:
        file.write_bytes(b"")
    share = f"{len(files[::3])} of {len(files)} images cannot be read"
    with pytest.raises(DataError, match=f"{share}.*empty file"):
        prepare(config_for(source), str(tmp_path / "out"))
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.spark
def test_no_readable_image_is_an_error_whatever_the_allowed_share(
    spark, source: Path, tmp_path: Path
):
    for file in source.rglob("*.bmp"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of .* images can be read"):
        prepare(config_for(source, max_reject_share=1.0), str(tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.spark
def test_a_class_lost_in_one_split_is_an_error(spark, source: Path, tmp_path: Path):
    lost = prepare(config_for(source), str(tmp_path / "out")).index("test").to_pylist()
    for row in lost:
        if row["class_name"] == "hem":
            (source / row["path"]).write_bytes(b"")
    with pytest.raises(DataError, match="no image of class 'hem' in the split 'test'"):
        prepare(config_for(source, max_reject_share=0.9), str(tmp_path / "other"))


@pytest.mark.slow
@pytest.mark.spark
def test_progress_ends_at_the_number_of_images(spark, cells: Path, tmp_path: Path):
    calls: list[tuple[int, int]] = []
    prepare(config_for(cells), str(tmp_path / "out"), progress=lambda *counts: calls.append(counts))
    images = len([*cells.rglob("*.bmp")])
    assert calls[-1] == (images, images)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.slow
@pytest.mark.spark
def test_synthetic_cells_are_marked_by_name_and_by_folder(spark, tmp_path: Path, monkeypatch):
    drawn = synthesize(tmp_path / "drawn", patients=8, cells_per_patient=3, size=32)
    monkeypatch.setattr(ingest, "synthetic_source", lambda output: drawn)
    by_name = prepare(DataConfig(image=IMAGE), str(tmp_path / "by-name"))
    by_folder = prepare(config_for(drawn), str(tmp_path / "by-folder"))
    assert by_name.summary.synthetic
    assert by_folder.summary.synthetic
    assert by_name.summary.source == "synthetic"
    assert by_name.summary.fingerprint == by_folder.summary.fingerprint


@pytest.mark.parametrize("name", ["thesis.txt", "train-00000.parquet", "dataset.csv"])
def test_a_folder_with_files_of_others_is_refused(cells: Path, tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match="contains files that do not belong to a data set"):
        prepare(config_for(cells), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_source_leaves_no_output(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        prepare(config_for(tmp_path / "nowhere"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_a_failure_by_value_and_leaves_no_file(
    cells: Path, tmp_path: Path, monkeypatch
):
    file = next(cells.rglob("*.bmp"))
    row = {"image_id": "a", "path": str(file), "label": 0, "class_name": "all"}
    row |= {"patient_id": "1", "group": "1", "split": "train", "source_bytes": 1}
    row |= {"old_file": None, "old_row": None}
    size = ImageSize(24, 20, "rgb")
    rows = pack_rows(pa.Table.from_pylist([row]))
    name = "train-00000-0123456789ab.parquet"
    chunk = Chunk(str(cells), str(tmp_path), name, size, "reject", recipe(size, "reject"), 1, rows)

    class FullDisk(pq.ParquetWriter):
        def write_table(self, table: pa.Table, *_) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("data.chunks.pq.ParquetWriter", FullDisk)
        result = write_chunk(chunk)
    assert "no space left on the disk of /data" in str(write_error("/data", str(result.failure)))
    assert not any(tmp_path.iterdir())
    assert write_chunk(chunk).rows == 1


def test_executors_import_nothing_heavy():
    heavy = "{'tensorflow', 'keras', 'sklearn', 'pandas', 'scipy', 'pydantic', 'matplotlib'}"
    program = f"import sys, data.chunks; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    root = Path(ingest.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)


@given(
    st.lists(
        st.lists(st.integers(0, 12), min_size=2, max_size=3).filter(any), min_size=1, max_size=30
    ).filter(lambda rows: len({len(row) for row in rows}) == 1)
)
def test_taking_turns_keeps_every_group_once(rows: list[list[int]]):
    groups = np.arange(len(rows))
    assert sorted(take_turns(groups, np.array(rows))) == groups.tolist()


def index_table(groups: int, per_group: int) -> pa.Table:
    rows = [
        {
            "image_id": f"{group:03d}_{image:02d}",
            "path": f"{group}/{image}.png",
            "class_name": ("all", "hem")[group % 3 == 0],
            "patient_id": str(group),
            "group": str(group),
            "fold": "",
        }
        for group in range(groups)
        for image in range(per_group)
    ]
    table = pa.Table.from_pylist(rows, INDEX_SCHEMA)
    labels = pc.cast(pc.equal(table.column("class_name"), "hem"), pa.int32())
    return table.append_column("label", labels)


def test_any_quarter_of_a_split_has_its_class_balance():
    table = index_table(groups=120, per_group=6)
    manifest = SplitManifest("patient", 0, {str(group): "train" for group in range(120)})
    labels = order_rows(table, manifest, seed=0).column("label").to_numpy()
    for quarter in np.split(labels, 4):
        assert abs(quarter.mean() - labels.mean()) < 0.04


def test_rows_of_a_group_stand_together_in_a_seeded_order():
    table = index_table(groups=30, per_group=5)
    manifest = SplitManifest("patient", 0, {str(g): SPLITS[g % 3] for g in range(30)})
    ordered = order_rows(table, manifest, seed=4)
    groups = ordered.column("group").to_pylist()
    borders = sum(a != b for a, b in itertools.pairwise(groups))
    assert borders == len(set(groups)) - 1
    assert [*dict.fromkeys(ordered.column("split").to_pylist())] == [*SPLITS]
    assert Counter(ordered.column("image_id").to_pylist()) == Counter(
        table.column("image_id").to_pylist()
    )
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    assert order_rows(shuffled, manifest, seed=4).equals(ordered)
    assert not order_rows(table, manifest, seed=5).equals(ordered)
