"""Marking of the project's working folder within the folder of the images.

With an option such as ``--data .``, the folder for prepared data is created among the images. A
hidden file marks it, so that it is excluded from the listing of the images.
"""

import os
from pathlib import Path

from data.object_store import is_object

#: File that marks a folder as the project's own.
MARK = ".sparkdl-work"
#: Files and folders that commands write into a working folder.
_OWN = frozenset(("data", "outbox", "checkpoints", "tuning.db", MARK))


def mark_within(folder: Path, source: str) -> None:
    """Create and mark ``folder`` if it is below the folder of the images and has no other files.

    A folder that contains other files is not marked, because images in it would be excluded;
    `data.targets.refuse_inside` then refuses an output in it.

    Parameters
    ----------
    folder
        Local folder for prepared data; it need not exist.
    source
        Folder of the images, a table in it, or ``synthetic``.
    """
    if is_object(source):
        return
    root = os.path.realpath(source)
    if os.path.isfile(root):  # noqa: PTH113 - a string, like the source
        root = os.path.dirname(root)  # noqa: PTH120
    below = os.path.realpath(folder).startswith(f"{root.rstrip('/')}/")
    if not below or (folder.is_dir() and not {*os.listdir(folder)} <= _OWN):  # noqa: PTH208
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def is_marked_below(path: str, root: str) -> bool:
    """Return whether ``path`` is in a marked folder below ``root``; both must be absolute paths."""
    folder = path
    while len(folder) > len(root.rstrip("/")) + 1:
        if os.path.isfile(f"{folder}/{MARK}"):  # noqa: PTH113
            return True
        folder = os.path.dirname(folder)  # noqa: PTH120
    return False
