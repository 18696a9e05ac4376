"""Folders of dead processes are removed, and no others."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data import own_folders
from data.synthetic import synthesize

#: Creates a temporary folder and an unfinished folder, prints their paths and waits.
HOLDER = """
import sys, tempfile
from pathlib import Path
from data.own_folders import held, temporary_folder, unfinished
tempfile.tempdir = sys.argv[1]
part = unfinished(Path(sys.argv[1], "cells"))
part.mkdir()
with temporary_folder("run") as folder, held(part):
    (folder / "weights").touch()
    print(folder, part, flush=True)
    sys.stdin.read()
"""


def said_by(holder: subprocess.Popen) -> list[Path]:
    """Return the folders that ``holder`` has created."""
    assert holder.stdout is not None
    return [Path(name) for name in holder.stdout.readline().split()]


@pytest.fixture
def holder(tmp_path: Path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_folders_go_when_their_process_has_died_and_not_before(
    tmp_path: Path, holder: subprocess.Popen
) -> None:
    made = said_by(holder)
    assert own_folders.remove_abandoned(tmp_path) == []
    holder.kill()
    holder.wait()
    assert sorted(own_folders.remove_abandoned(tmp_path)) == sorted(made)
    assert list(tmp_path.iterdir()) == []


def test_lock_speaks_where_a_process_id_means_nothing(
    tmp_path: Path, holder: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another container the process id does not exist or belongs to another process."""
    said_by(holder)
    monkeypatch.setattr(own_folders, "_is_alive", lambda _: False)
    assert own_folders.remove_abandoned(tmp_path) == []


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_is_not_surely_abandoned_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = dead_pid()
    target = tmp_path / "elsewhere"
    target.mkdir()
    for name in ("sparkdl-run-abcdefgh", f"sparkdl-run-{os.getpid()}-abc", f"unfinished-{pid}"):
        (tmp_path / name).mkdir()
    (tmp_path / f"sparkdl-run-{pid}-link").symlink_to(target)
    assert own_folders.remove_abandoned(tmp_path) == []
    (tmp_path / f"sparkdl-run-{pid}-theirs").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert own_folders.remove_abandoned(tmp_path) == []


def test_drawing_anew_removes_what_a_killed_drawing_left_and_nothing_else(tmp_path: Path) -> None:
    pid = dead_pid()
    for name in (f"cells.unfinished-{pid}", f"other.unfinished-{pid}"):
        (tmp_path / name).mkdir()
    synthesize(tmp_path / "cells", patients=10, cells_per_patient=1, size=16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells", f"other.unfinished-{pid}"]
    shutil.rmtree(tmp_path / "cells")


def test_signal_ends_the_folder_with_the_process(tmp_path: Path) -> None:
    """The signal runs the ``finally`` clauses, as when the terminal is closed."""
    command = [sys.executable, "-c", "from data.entry import begin\nbegin()\n" + HOLDER]
    with subprocess.Popen(
        [*command, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        folder, _ = said_by(process)
        assert folder.is_dir()
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 128 + signal.SIGHUP
    assert not folder.exists()
