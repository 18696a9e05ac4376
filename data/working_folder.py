"""A folder of this project's within the folder of the images: it is left out of their listing.

``--data .`` is a natural thing to write, and the folder for prepared data then lies among the
images. A hidden file marks it, so that nothing in it is taken for an image of the data set.
"""

import os
from pathlib import Path

from data.object_store import is_object

#: File that marks a folder as the project's own.
MARK = ".sparkdl-work"
#: Files and folders that commands write into a working folder.
_OWN = frozenset(("data", "outbox", "checkpoints", "tuning.db", MARK))


def mark_within(folder: Path, source: str) -> None:
    """Make and mark ``folder``, if it lies below the folder of the images and has no other files.

    A folder with files of another kind is left as it is, and an output in it is refused by
    `data.targets.refuse_inside`: images in it would be left out.

    Parameters
    ----------
    folder
        Folder of this machine for prepared data; it need not exist.
    source
        Folder of the images, a table in it, or ``synthetic``.
    """
    if is_object(source):
        return
    root = os.path.realpath(source)
    if os.path.isfile(root):  # noqa: PTH113 - a text, as the source is
        root = os.path.dirname(root)  # noqa: PTH120
    below = os.path.realpath(folder).startswith(f"{root.rstrip('/')}/")
    if not below or (folder.is_dir() and not {*os.listdir(folder)} <= _OWN):  # noqa: PTH208
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def is_marked_below(path: str, root: str) -> bool:
    """Tell whether ``path`` lies in a marked folder below ``root``; both are absolute paths."""
    folder = path
    while len(folder) > len(root.rstrip("/")) + 1:
        if os.path.isfile(f"{folder}/{MARK}"):  # noqa: PTH113
            return True
        folder = os.path.dirname(folder)  # noqa: PTH120
    return False
