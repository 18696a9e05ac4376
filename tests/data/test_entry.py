"""Permissions of new files, and the signals that terminate a command."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from data.entry import SHARE, private_files
from data.errors import DataError


@pytest.mark.parametrize(
    ("share", "umask", "mode"),
    [
        ("", 0o022, 0o600),
        ("group", 0o022, 0o640),
        ("group", 0o002, 0o660),
        ("all", 0o022, 0o644),
        ("all", 0o077, 0o600),
    ],
)
def test_files_are_private_unless_they_are_to_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str, umask: int, mode: int
) -> None:
    monkeypatch.setenv(SHARE, share)
    before = os.umask(umask)
    try:
        with private_files():
            (tmp_path / "file").touch()
        (tmp_path / "later").touch()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "later").stat().st_mode) == 0o666 & ~umask


def test_word_that_says_nothing_of_sharing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARE, "yes")
    with (
        pytest.raises(DataError, match="=yes: set it to 'group' or 'all'"),
        private_files(),
    ):
        pass


def test_closed_terminal_ends_a_command_unless_nohup_has_started_it() -> None:
    program = "from data.entry import begin; begin(); print(flush=True); input(); print('on')"
    for start, expected in (([], 128 + signal.SIGHUP), (["nohup"], 0)):
        with subprocess.Popen(
            [*start, sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGHUP)
            with suppress(BrokenPipeError):  # it may have ended already
                process.stdin.write(b"\n")
                process.stdin.close()
            assert process.wait(10) == expected


def entry_points() -> list[Path]:
    root = Path(__file__).parents[2]
    mains = set(root.glob("*/__main__.py")) - {root / "sparkdl_bench" / "__main__.py"}
    return [root / "experiments/cli/run.py", root / "sparkdl_bench/cli.py", *sorted(mains)]


@pytest.mark.parametrize("path", entry_points(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_command_begins_so(path: Path) -> None:
    assert "begin()\n" in path.read_text()
