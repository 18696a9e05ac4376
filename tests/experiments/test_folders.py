"""Unusable folders for --work and --output are rejected before any work."""

from pathlib import Path

import pytest

from experiments.errors import ExperimentError
from experiments.folders import writable_folder


def test_home_of_a_user_is_written_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert writable_folder("--work", Path("~/work")) == tmp_path / "work"
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", "is a file"),
        ("file/below", "is a file"),
        ("~nobody-of-this-name/x", "no user"),
        ("x" * 300, "too long"),
        ("s3://bucket/x", "path on this machine"),
    ],
)
def test_what_is_no_folder_is_refused_with_its_option(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ExperimentError, match=message) as error:
        writable_folder("--output", Path(name))
    assert str(error.value).startswith("--output: ")


@pytest.mark.parametrize(
    "command",
    [
        ["compare"],
        ["scale", "--workers", "1"],
        ["tune", "--backend", "keras_local"],
        ["chaos"],
    ],
    ids=lambda command: command[0],
)
def test_output_that_is_a_file_is_refused_first(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from sparkdl_bench.commands import app

    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    done = CliRunner().invoke(app, [*command, "--output", "file"])
    assert done.exit_code == 2
    assert "--output: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
