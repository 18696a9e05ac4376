"""Folder of a comparison, which no later comparison overwrites."""

import re
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from data.entry import private_files
from experiments.errors import ExperimentError

#: Name of the page of a comparison.
REPORT_FILE = "report.html"
#: Folder below the working folder that contains one folder for each comparison.
COMPARISONS = Path("comparison")
_LONGEST_TITLE = 60  # characters
_UNSAFE = re.compile(r"[^\w.-]+")


@private_files()
def new_folder(title: str, parent: Path = COMPARISONS, at: datetime | None = None) -> Path:
    """Create and return a folder for a comparison, named by its time and title.

    Parameters
    ----------
    title
        Names of the compared experiments.
    parent
        Folder in which it is created.
    at
        Time of the comparison, in UTC; now by default.

    Returns
    -------
    Path
        For example ``comparison/2026-11-27_21-18-07_c-nmc``; a second comparison with the same
        time and title ends with ``_2``.

    Raises
    ------
    ExperimentError
        If the folder cannot be created.
    """
    shown = _UNSAFE.sub("-", title).strip("-.")[:_LONGEST_TITLE]
    name = f"{at or datetime.now(UTC):%Y-%m-%d_%H-%M-%S}_{shown}".rstrip("_")
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ExperimentError(f"{folder} cannot be created: {error}") from error
        return folder
    raise AssertionError  # count() does not end


def check_unused(folder: Path) -> None:
    """Raise ExperimentError if a folder given by the user contains a comparison."""
    if (folder / REPORT_FILE).exists():
        raise ExperimentError(
            f"--output: {folder} contains a comparison already, which is not overwritten; name "
            f"another folder, or omit --output for a new one below {COMPARISONS}"
        )
