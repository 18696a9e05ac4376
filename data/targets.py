"""Early checks that outputs can be written, before hours are spent on their content."""

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
        Example of a file name, for the message if ``uri`` is a folder.

    Raises
    ------
    DataError
        If ``uri`` is a folder, or its location is not writable.
    """
    filesystem, path = locate(uri)
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        raise DataError(f"{uri} is a folder; give a file in it, for example {uri}/{example}")
    _check_place(uri, filesystem, Path(path))


def check_folder_target(uri: str | Path) -> None:
    """Refuse a folder that cannot be created or written.

    Raises
    ------
    DataError
        If ``uri`` is a file, or its location is not writable.
    """
    filesystem, path = locate(uri)
    if filesystem.get_file_info(path).type == fs.FileType.File:
        raise DataError(f"{uri} is a file; give a folder")
    _check_place(uri, filesystem, Path(path) / "any")


def refuse_inside(uri: str | Path, source: str) -> None:
    """Refuse an output within the folder of the images, where it would be read as images.

    Parameters
    ----------
    uri
        Path, or ``s3://`` address.
    source
        Folder of the images, a table in it, or ``synthetic``.

    Raises
    ------
    DataError
        If ``uri``, with links resolved, is that folder or below it, unless it is in a folder that
        the listing of the images excludes.
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
            f"{uri} is in the folder of the images, {root}, and would be read as part of it; "
            "choose a folder elsewhere"
        )


def _check_place(uri: str | Path, filesystem: fs.FileSystem, path: Path) -> None:
    if not isinstance(filesystem, fs.LocalFileSystem):
        return  # the permissions of a bucket are known only after the first request
    there = next(parent for parent in path.parents if os.access(parent, os.F_OK))
    if not there.is_dir():
        raise DataError(f"{uri} cannot be created: {there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{uri} cannot be written: no permission to write in {there}")
