"""Versions of the code and packages used for a run."""

import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from data.project import ROOT

_ALWAYS = ("numpy", "pyarrow", "scikit-learn", "mlflow")


def code_commit() -> str:
    """Return the commit of the working tree, with ``-dirty`` after changes, or ``unknown``."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
        command += ["--exclude=*"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return installed versions of Python, ``packages`` and the packages that every run uses."""
    found = {"python": platform.python_version()}
    for name in sorted({*packages, *_ALWAYS}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
