"""Paths in the options of the deploy commands."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli import app
from deploy.cli_paths import path_option


def test_home_folder_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_option("~/cluster") == tmp_path / "cluster"
    assert path_option(Path("runs/a")) == Path("runs/a")


def test_unknown_user_is_a_wrong_request() -> None:
    with pytest.raises(typer.BadParameter, match="no user nobody-of-that-name"):
        path_option("~nobody-of-that-name/cluster")


def test_commands_replace_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["cluster", "status", "--folder", "~/none"])
    assert result.exit_code == 2
    assert f"no cluster was started in {tmp_path}/none" in result.output
