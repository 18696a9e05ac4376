"""Files of a run and a comparison are readable only by their user."""

import os
import re
import runpy
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.config import DataConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture
def careless() -> Iterator[None]:
    """The usual umask, which lets everyone read; commands change it."""
    umask = os.umask(0o022)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command as from a shell; return its exit status."""
    monkeypatch.setattr(sys, "argv", list(arguments))
    start = runpy.run_path if arguments[0].endswith(".py") else runpy.run_module
    with pytest.raises(SystemExit) as end:
        start(arguments[0], run_name="__main__")
    return int(end.value.code or 0)


@pytest.mark.slow
@pytest.mark.usefixtures("careless")
def test_nobody_else_can_read_what_a_run_and_a_comparison_leave(
    data_config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = ["--backend", "majority", "--epochs", "1", "--batch-size", "16"]
    options += ["--name", "private", "--set", f"data={data_config.model_dump_json()}"]
    assert ended(monkeypatch, str(ROOT / "run_experiment.py"), *options) == 0
    assert ended(monkeypatch, "experiments", "compare", "--experiment", "private") == 0
    left = {path.relative_to(tmp_path).as_posix(): path.stat() for path in tmp_path.rglob("*")}
    assert {"mlflow.db", "work", "mlruns"} <= set(left)
    assert [name for name in left if re.fullmatch(r"comparison/[\w-]+_private/report\.html", name)]
    assert len([name for name in left if name.endswith(".parquet")]) > 3
    others = {name for name, found in left.items() if stat.S_IMODE(found.st_mode) & 0o077}
    assert others == set()
