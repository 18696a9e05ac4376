"""Refusing an output that could not be written, before hours are spent on its content."""

import os
from pathlib import Path

from pyarrow import fs

from data.errors import DataError
from data.storage import locate
from data.working_folder import is_marked_below


def check_file_target(uri: str | Path, example: str) -> None:
    """Refuse a file that cannot be written; its folder need not exist yet.

    Parameters
    ----------
    uri
        Path, or ``s3://`` address.
    example
        Name of a file, for the message about a folder.

    Raises
    ------
    DataError
        When ``uri`` is a folder, or nothing can be written where it would lie.
    """
    filesystem, path = locate(uri)
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        raise DataError(f"{uri} is a folder; name a file in it, for example {uri}/{example}")
    _check_place(uri, filesystem, Path(path))


def check_folder_target(uri: str | Path) -> None:
    """Refuse a folder that cannot be made or written.

    Raises
    ------
    DataError
        When ``uri`` is a file, or nothing can be written where it would lie.
    """
    filesystem, path = locate(uri)
    if filesystem.get_file_info(path).type == fs.FileType.File:
        raise DataError(f"{uri} is a file; name a folder")
    _check_place(uri, filesystem, Path(path) / "any")


def refuse_inside(uri: str | Path, source: str) -> None:
    """Refuse an output in the folder of the images, which it would be taken for a part of.

    Parameters
    ----------
    uri
        Path, or ``s3://`` address.
    source
        The folder of the images, a table in it, or ``synthetic``.

    Raises
    ------
    DataError
        When ``uri`` lies below that folder or is it, whatever links lead there, and in no folder
        that the listing of the images leaves out.
    """
    (filesystem, path), (other, root) = locate(uri), locate(source)
    if source == "synthetic" or type(filesystem) is not type(other):
        return
    if other.get_file_info(root).type == fs.FileType.File:
        root = root.rpartition("/")[0]
    if isinstance(filesystem, fs.LocalFileSystem):
        path, root = os.path.realpath(path), os.path.realpath(root)
        if is_marked_below(path, root):
            return
    if f"{path}/".startswith(f"{root.rstrip('/')}/"):
        raise DataError(
            f"{uri} lies in the folder of the images, {root}, and would be taken for a part of it; "
            "name a folder elsewhere"
        )


def _check_place(uri: str | Path, filesystem: fs.FileSystem, path: Path) -> None:
    if not isinstance(filesystem, fs.LocalFileSystem):
        return  # a bucket says at the first request what it allows
    there = next(parent for parent in path.parents if os.access(parent, os.F_OK))
    if not there.is_dir():
        raise DataError(f"{uri} cannot be made: {there} is a file and no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{uri} cannot be written: this user may not write in {there}")
