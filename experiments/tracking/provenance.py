"""Versions of the code and packages used for a run, and the machine that it was made on."""

import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from data.project import ROOT

_CPU_INFO = Path("/proc/cpuinfo")
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


def machine() -> dict[str, str]:
    """Return the processor, its number of logical cores and the memory of this machine."""
    return {
        "cpu": _processor(),
        "cores": str(psutil.cpu_count() or "unknown"),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
    }


def _processor() -> str:
    """Return the name of the processor from the kernel, or its architecture."""
    with suppress(OSError):
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.machine() or "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return installed versions of Python, ``packages`` and the packages that every run uses."""
    found = {"python": platform.python_version()}
    for name in sorted({*packages, *_ALWAYS}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
