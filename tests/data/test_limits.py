"""Limits of the operating system are raised, or reported in one line."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from data import limits
from data.errors import DataError

ROOT = Path(__file__).parents[2]


def check_with(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    code = (
        "import resource; from data import limits;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "limits.check(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_open_files_are_raised_as_far_as_they_may_be() -> None:
    assert check_with(128, 2048).stdout.strip() == "(2048, 2048)"
    assert check_with(8192, 9000).stdout.strip() == "(8192, 9000)", "never lowered"


def test_limit_that_is_too_low_is_named() -> None:
    last = check_with(128, 128).stderr.strip().splitlines()[-1]
    assert "128 open files ('ulimit -n')" in last


def test_limit_of_processes_counts_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(limits, "_raised", lambda kind, wanted: wanted or 100)
    with pytest.raises(DataError, match="100 processes and threads"):
        limits.check()


def test_no_folder_for_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])
    with pytest.raises(DataError, match="TMPDIR"):
        limits.check()
