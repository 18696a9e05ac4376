import stat
from pathlib import Path

from typer.testing import CliRunner

from deploy.cli import app


def test_env_is_random_and_private_and_is_never_overwritten(tmp_path: Path) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    for path in (first, second):
        result = CliRunner().invoke(app, ["env", "--file", str(path), "--workers", "4"])
        assert result.exit_code == 0, result.output
        assert "WORKERS=4" in result.output
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = [
        dict(line.split("=") for line in path.read_text().splitlines()) for path in (first, second)
    ]
    for settings in values:
        assert (settings.pop("WORKERS"), settings.pop("WORKER_MEMORY")) == ("4", "2g")
    assert values[0].keys() == values[1].keys()
    assert not set(values[0].values()) & set(values[1].values())
    assert all(len(value) >= 20 for value in values[0].values())
    assert not any(value in result.output for value in values[1].values())

    before = first.read_text()
    refused = CliRunner().invoke(app, ["env", "--file", str(first)])
    assert refused.exit_code == 2
    assert "was not overwritten" in refused.output
    assert first.read_text() == before
