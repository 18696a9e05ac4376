"""Detection of synthetic images, for any folder of a synthetic set given as the source."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pyarrow import fs

from data.layouts import Index
from data.storage import exists, locate
from data.synthetic import NOTICE_FILE
from data.values import values_of

#: Maximum number of folders between the images of a synthetic set and the notice in its root.
_LEVELS = 3


def shows_synthetic(index: Index) -> bool:
    """Return whether images of ``index`` belong to a set that is marked as synthetic.

    The notice may be in the source folder, below it, or above it if only a part of the set was
    given; on disk, links and tables that lead into a synthetic set are followed.
    """
    filesystem, root = locate(index.root)
    if any(exists(filesystem, f"{folder}/{NOTICE_FILE}") for folder in _up_from(root)):
        return True
    folders = dict[str, str]()
    for path in values_of(index.table.column("path")):
        folders.setdefault(path.rpartition("/")[0], path)
    notices = {
        path.rpartition("/")[0]
        for path in values_of(index.files.column("path"))
        if path.rpartition("/")[2] == NOTICE_FILE
    }
    if any(_below(folder, notices) for folder in folders):
        return True
    if not isinstance(filesystem, fs.LocalFileSystem):
        return False
    firsts = (os.path.realpath(PurePosixPath(root, path)) for path in folders.values())
    real = {folder for path in firsts for folder in _up_from(path.rpartition("/")[0])}
    return any(Path(folder, NOTICE_FILE).is_file() for folder in real)


def _up_from(path: str) -> Iterator[str]:
    """Yield a folder and its ancestors that can be the root of its synthetic set."""
    yield path
    for parent in [*PurePosixPath(path).parents][:_LEVELS]:
        if str(parent) not in ("/", "."):
            yield str(parent)


def _below(folder: str, notices: set[str]) -> bool:
    return any(not notice or f"{folder}/".startswith(f"{notice}/") for notice in notices)
