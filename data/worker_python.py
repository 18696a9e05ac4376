"""Check of the Python interpreter that Spark runs for the workers of a user's session."""

import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from data.errors import DataError

if TYPE_CHECKING:
    from pyspark import SparkContext

#: Packages that functions of this project need in a worker.
_NEEDED = ("numpy", "pandas", "pyarrow")
_SECONDS = 60


def check_workers(context: "SparkContext") -> None:
    """Refuse a session whose workers on this machine run a Python without the needed packages.

    Unless ``PYSPARK_PYTHON`` is set, Spark starts the first ``python3`` of ``PATH``, which in a
    notebook or with ``uv run --project`` may belong to another environment. Workers on other
    machines are not checked.

    Raises
    ------
    DataError
        If the packages are missing; the message contains the remedy.
    """
    if context.master.startswith("local") and context.pythonExec != sys.executable:
        _check(context.pythonExec)


@cache
def _check(python: str) -> None:
    code = f"import {', '.join(_NEEDED)}"
    command = [python, "-c", code]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        reason = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        raise DataError(
            f"Spark's workers run {shutil.which(python) or python}, which lacks packages of this "
            f"project ({reason}): before the session is created, set "
            'os.environ["PYSPARK_PYTHON"] = sys.executable'
        )
