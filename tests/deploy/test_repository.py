"""Committed files contain no secrets and no installed programs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_installed_programs_and_packages_are_not_part_of_the_repository() -> None:
    for path in (".uv/bin/uv", ".venv/bin/python"):
        command = ["git", "check-ignore", "--no-index", "--quiet", path]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, path


#: Lines of notebooks with a picture in base64, which resembles a key.
PICTURES = r'"image/png": "'


def scan(*files: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "detect_secrets.pre_commit_hook"]
    command += ["--exclude-lines", PICTURES, *files]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_committed_file_holds_a_secret() -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = scan(*files.split())
    assert found.returncode == 0, found.stdout


def test_scan_finds_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text(
        'aws_secret_access_key = "' + "wJalrXUtnFEMI/K7MDENG/" + 'bPxRfiCYEXAMPLEKEY"\n'
    )
    assert scan(str(file)).returncode == 1
