"""No image is decoded twice, after an interruption or when images have been added."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.config import DataConfig, ImageConfig
from data.images import DECODING_RULES
from data.ingest import prepare
from data.layouts import read_index
from data.local_spark import local_context
from data.prepared import PreparedData, open_prepared
from data.schema import SPLITS

ROOT = Path(__file__).parents[2]
#: Runs ``prepare`` with many small output files and slow decoding of images.
SLOW = """
import sys, time
import data.chunks, data.ingest
from data.config import DataConfig

seconds, decode = float(sys.argv[3]), data.chunks.decode_file

def slowly(*arguments):
    time.sleep(seconds)
    return decode(*arguments)

def write(chunk):
    data.chunks.decode_file = slowly  # in every Python worker
    return data.chunks.write_chunk(chunk)

data.ingest.FILE_ROWS = 8
data.ingest.write_chunk = write
data.ingest.prepare(DataConfig.model_validate_json(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One Spark session for the whole module: `prepare` uses the running one."""
    with local_context(2, "tests"):
        yield


def column_by_path(table: pa.Table, name: str) -> dict[str, bytes]:
    columns = (table.column(field).to_pylist() for field in ("path", name))
    return dict(zip(*columns, strict=True))


def rows(prepared: PreparedData) -> pa.Table:
    files = [part.name for split in SPLITS for part in prepared.summary.files[split]]
    return pa.concat_tables([pq.read_table(Path(prepared.uri) / name) for name in files])


def config_for(source: Path) -> DataConfig:
    return DataConfig(source=str(source), image=ImageConfig(height=24, width=24))


def slow_prepare(config: DataConfig, output: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SLOW, config.model_dump_json(), str(output), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_killed_prepare_goes_on_and_gives_what_an_undisturbed_one_gives(
    cells: Path, tmp_path: Path
) -> None:
    config, output = config_for(cells), tmp_path / "killed"
    child = slow_prepare(config, output, 0.05)
    deadline = time.monotonic() + 60
    while len(whole := [*output.glob("*.parquet")]) < 4:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    written = {path.name: path.stat().st_mtime_ns for path in whole}
    assert slow_prepare(config, output, 0).wait(120) == 0
    assert slow_prepare(config, tmp_path / "undisturbed", 0).wait(120) == 0
    for name, moment in written.items():
        assert (output / name).stat().st_mtime_ns == moment, "decoded a second time"
    found, expected = open_prepared(output), open_prepared(tmp_path / "undisturbed")
    assert found.summary == expected.summary
    assert (output / "split.json").read_bytes() == Path(expected.uri, "split.json").read_bytes()
    assert rows(found).equals(rows(expected))
    assert {path.name for path in output.iterdir()} == {
        path.name for path in Path(expected.uri).iterdir()
    }


@pytest.fixture(scope="module")
def halves(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with three of four patients of each class, and the folder with all of them."""
    table = read_index(config_for(cells)).table
    patients = sorted(set(table.column("patient_id").to_pylist()))
    late = {name for number, name in enumerate(patients) if number % 4 == 3}
    first = tmp_path_factory.mktemp("first")
    for row in table.to_pylist():
        if row["patient_id"] not in late:
            target = first / row["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(cells / row["path"], target)
    return first, cells


@pytest.mark.slow
@pytest.mark.spark
def test_new_images_alone_are_decoded_and_known_patients_keep_their_side(
    spark, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    first, every = halves
    source, output = tmp_path / "source", tmp_path / "out"
    shutil.copytree(first, source)
    before = prepare(config_for(source), str(output))
    pixels = dict(
        zip(*(rows(before).column(n).to_pylist() for n in ("path", "pixels")), strict=True)
    )
    for path in pixels:  # the same size, but no longer an image
        (source / path).write_bytes(b"?" * (source / path).stat().st_size)
    for path in every.rglob("*.bmp"):
        target = source / path.relative_to(every)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    after = prepare(config_for(source), str(output))
    table = rows(after)
    assert after.summary.rejects == 0, "known images were read again"
    found = column_by_path(table, "pixels")
    assert {path: found[path] for path in pixels} == pixels
    assert len(found) == len([*every.rglob("*.bmp")]) > len(pixels)
    fresh = prepare(config_for(every), str(tmp_path / "fresh"))
    digests = column_by_path(rows(fresh), "row_sha256")
    assert column_by_path(table, "row_sha256") == digests
    sides = after.manifest.assignments
    assert {group: sides[group] for group in before.manifest.assignments} == (
        before.manifest.assignments
    )
    assert set(sides) == set(fresh.manifest.assignments)
    assert any("kept their previous side" in note for note in after.summary.notes)
    names = {part.name for parts in after.summary.files.values() for part in parts}
    assert {path.name for path in output.glob("*.parquet")} == names | {"rejects.parquet"}


@pytest.mark.slow
@pytest.mark.spark
def test_changed_file_is_decoded_again(spark, cells: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "out"
    shutil.copytree(cells, source)
    prepare(config_for(source), str(output))
    victim = next(source.rglob("*.bmp"))
    victim.write_bytes(b"no image any more")
    after = prepare(config_for(source), str(output))
    rejects = pq.read_table(output / "rejects.parquet").to_pylist()
    assert [row["path"] for row in rejects if row["kind"] == "unreadable"] == [
        str(victim.relative_to(source))
    ]
    assert after.summary.rejects == 1


@pytest.mark.slow
@pytest.mark.spark
def test_data_set_of_earlier_rules_opens_as_it_is_and_is_made_anew_on_request(
    spark, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    with monkeypatch.context() as earlier:
        for module in ("chunks", "ingest", "inputs"):
            earlier.setattr(f"data.{module}.DECODING_RULES", 1)
        before = prepare(config_for(cells), str(output))
    summary = json.loads((output / "dataset.json").read_text())
    del summary["config"]["damaged"], summary["reject_kinds"], summary["decoding_rules"]
    (output / "dataset.json").write_text(json.dumps(summary))
    assert open_prepared(output).summary.fingerprint == before.summary.fingerprint
    after = prepare(config_for(cells), str(output))
    assert any("decoded again, because the decoding rules" in n for n in after.summary.notes)
    assert after.summary.decoding_rules == DECODING_RULES > 1
    assert after.summary.files != before.summary.files
    assert after.manifest == before.manifest
    assert prepare(config_for(cells), str(output)).summary == after.summary


@pytest.mark.slow
@pytest.mark.spark
def test_failed_extension_leaves_the_data_set_that_was_there(
    spark, cells: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "source", tmp_path / "out"
    shutil.copytree(cells, source)
    before = prepare(config_for(source), str(output))
    for path in source.rglob("*.bmp"):
        path.write_bytes(b"")
    with pytest.raises(Exception, match=r"none of \d+ images can be read"):
        prepare(config_for(source), str(output))
    assert open_prepared(output) == before
    assert rows(before).num_rows > 0
