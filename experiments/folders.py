"""Checks of the folders given by options, before any work is done."""

from pathlib import Path

from data.addresses import local_path
from data.errors import DataError
from data.targets import check_folder_target
from experiments.errors import ExperimentError


def writable_folder(option: str, path: Path) -> Path:
    """Return the folder ``path`` given by ``option``, with ``~`` expanded; it need not exist yet.

    Raises
    ------
    ExperimentError
        If the path is a file, or the folder cannot be created or written to.
    """
    try:
        folder = local_path(path)
        check_folder_target(folder)
    except (DataError, OSError) as error:
        raise ExperimentError(f"{option}: {error}") from error
    return folder
