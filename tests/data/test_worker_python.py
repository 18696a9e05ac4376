"""The interpreter of the workers of a user's Spark session."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.errors import DataError
from data.worker_python import check_workers


def context(python: str, master: str = "local[2]") -> Any:
    return SimpleNamespace(master=master, pythonExec=python)


def test_other_python_without_the_packages_is_refused_with_the_remedy(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text(
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'numpy'\" >&2\nexit 1\n"
    )
    other.chmod(0o755)
    with pytest.raises(DataError, match=r"No module named 'numpy'.*PYSPARK_PYTHON.*sys.executable"):
        check_workers(context(str(other)))
    check_workers(context(str(other), "spark://master:7077"))


def test_python_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        check_workers(context(str(tmp_path / "none")))


def test_python_with_the_packages_is_accepted(tmp_path: Path) -> None:
    check_workers(context(sys.executable))
    other = tmp_path / "python3"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    check_workers(context(str(other)))
