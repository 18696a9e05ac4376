"""Unreadable addresses are rejected before anything is read or written."""

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.addresses import local_path, plain_address
from data.cli import app
from data.config import DataConfig, SplitConfig
from data.errors import DataError
from data.object_store import ENDPOINT_VARIABLES, locate_object, use_endpoint
from data.storage import locate
from data.targets import check_file_target, check_folder_target
from tests.data.layout_reading import touch

UNREAD = ["https", "http", "ftp", "gs", "abfss", "wasbs", "hdfs", "viewfs", "s3a", "s3n"]


@pytest.mark.parametrize("scheme", UNREAD)
def test_schemes_that_are_not_read_are_refused_with_those_that_are(scheme: str):
    with pytest.raises(DataError, match=r"s3://") as error:
        locate(f"{scheme}://name:geheim@host/folder?sig=geheim")  # pragma: allowlist secret
    assert "geheim" not in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"s3://"):
        DataConfig(source=f"{scheme}://host/folder")
    with pytest.raises(ValueError, match=r"s3://"):
        SplitConfig(manifest=f"{scheme}:/host/split.json")
    with pytest.raises(DataError, match="path on this machine"):
        local_path(Path(f"{scheme}://host/folder"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://", "names no bucket"),
        ("s3:/bucket/x", "write s3://bucket/x"),
        ("s3a://bucket/x", "write s3://bucket/x"),
        ("", "is not a path"),
        ("a\0b", "is not a path"),
        ("file://other/x", "another machine"),
        ("~no-such-user/x", "no user no-such-user"),
    ],
)
def test_addresses_of_nothing_are_refused(address: str, message: str):
    with pytest.raises(DataError, match=message):
        plain_address(address)


def test_spellings_of_a_path_are_that_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "~odd/a b.png")
    assert DataConfig(source="~/x").source == f"{tmp_path}/x"
    assert plain_address("~root/x") == os.path.expanduser("~root/x")  # noqa: PTH111
    assert plain_address("~odd/a b.png") == "~odd/a b.png", "a folder that is there counts"
    for address in ("file:///a%20b/c", "file:/a b/c", "file://localhost/a%20b/c"):
        assert locate(address)[1] == "/a b/c"
    assert plain_address("C:/x") == "C:/x"
    assert plain_address("S3://Bucket/x") == "s3://Bucket/x"


@pytest.mark.slow
def test_server_that_does_not_answer_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENDPOINT_VARIABLES[0], "http://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        locate_object("s3://bucket/x")
    assert time.monotonic() - started < 5
    for wrong in ("127.0.0.1:9000", "http://", "http://host:port", "s3://bucket"):
        with pytest.raises(DataError, match="write http://host:port"):
            use_endpoint(wrong)


def test_outputs_that_cannot_be_written_are_refused_before_anything_is(tmp_path: Path):
    touch(tmp_path, "file", "src/a/p1.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"is a folder; give a file in it, for example .*/s\.json"):
        check_file_target(tmp_path, "s.json")
    for check in (check_folder_target, lambda uri: check_file_target(uri, "s.json")):
        with pytest.raises(DataError, match="is a file, not a folder"):
            check(tmp_path / "file" / "deep" / "s.json")
        check(tmp_path / "new" / "deep" / "s.json")
    with pytest.raises(DataError, match="is a file; give a folder"):
        check_folder_target(tmp_path / "file")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("split {cells} --output {here}", "is a folder"),
        ("split {cells} --output {cells}/SYNTHETIC.txt/s.json", "is a file, not a folder"),
        ("describe {cells} --html {here}", "is a folder"),
        ("describe {cells} --output {cells}/plots", "is in the folder of the images"),
        ("describe {cells} --output s3://bucket/plots", "path on this machine"),
        ("prepare {cells} {cells}/SYNTHETIC.txt", "is a file"),
        ("prepare {cells} {cells}/out", "is in the folder of the images"),
        ("prepare {cells} gs://bucket/out", "gs:// addresses are not supported"),
        ("prepare {cells} {here}/out --workers 0", "--workers 0: must be 1 or more"),
        ("prepare {cells} {here}/out --height 0 --width 0", "--image-size"),
        ("prepare {cells} {here}/out --max-reject-share nan", "--max-reject-share"),
        ("split {cells} --output {here}/s.json --seed -1", "seed"),
        ("split {cells} --output {here}/s.json --seed 4294967296", "seed"),
        ("split {cells} --output {here}/s.json --test 0", "test"),
        ("synthesize {here}/new --patients 0", "two classes need at least two"),
        ("synthesize {here}/new --seed 4294967296", "seed"),
        ("synthesize {here}/new --like c-nmc --share nan", "share"),
        ("synthesize s3://bucket/new", "path on this machine"),
        ("describe {cells} --html {here}/h.html --sample 0", "--sample 0"),
    ],
)
def test_commands_refuse_in_a_line_and_leave_nothing(cells, tmp_path, arguments, message):
    there = sorted(path.name for path in cells.parent.rglob("*"))
    words = arguments.format(cells=cells, here=tmp_path).split()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    # Libraries imported by other tests set environment variables that a command reports first.
    said = [line for line in done.stderr.splitlines() if not line.startswith("note: set aside")]
    assert [line.partition(": ")[0] for line in said] == ["error"]
    assert message in done.stderr
    assert done.stdout == ""
    assert not [*tmp_path.iterdir()]
    assert sorted(path.name for path in cells.parent.rglob("*")) == there


def test_commands_of_experiments_take_the_same_addresses(tmp_path, monkeypatch):
    from experiments.config import Experiment
    from experiments.loading import load

    monkeypatch.setenv("HOME", str(tmp_path))
    plan = load("malaria", {"prepared": "~/p", "artifacts": "file:///a", "data.source": "~/d"})
    assert (plan.prepared, plan.artifacts) == (f"{tmp_path}/p", "/a")
    assert plan.data.source == f"{tmp_path}/d"
    for key in ("prepared", "artifacts"):
        with pytest.raises(ValueError, match="gs:// addresses are not supported"):
            Experiment.model_validate({"positive_class": "x", "name": "x", key: "gs://bucket/x"})
