"""Recursive listing of a local folder, following links without entering any folder twice."""

import os
from collections.abc import Iterator

from data.left_out import is_left_out_folder
from data.working_folder import MARK


def files_below(root: str) -> Iterator[tuple[str, int | None]]:
    """Yield path (relative to ``root``) and size in bytes of every file, in arbitrary order.

    The size is None for broken links and for anything but a regular file, because reading it might
    block. A folder excluded by `data.left_out` or marked by `data.working_folder` is one path with
    a trailing slash, and its content is not listed.

    Links to folders are followed, but no folder is entered twice: a link to a parent folder would
    otherwise repeat all images about forty times. Folders are entered through their own path before
    any link to them.

    Raises
    ------
    OSError
        If a folder cannot be listed, because omitting it silently would lose data.
    """
    entered: set[str] = set()
    waiting = [""]
    while waiting:
        links: list[str] = []
        for folder in waiting:
            yield from _enter(root, folder, entered, links)
        waiting = sorted(links)


def _enter(
    root: str, folder: str, entered: set[str], links: list[str]
) -> Iterator[tuple[str, int | None]]:
    """Yield the files below ``folder``; add the links to folders to ``links``."""
    below = [folder]
    while below:
        current = below.pop()
        real = os.path.realpath(os.path.join(root, current))  # noqa: PTH118 - called very often
        if real in entered:
            continue
        entered.add(real)
        entries = [*_entries(os.path.join(root, current))]  # noqa: PTH118
        if current and any(name == MARK for name, _ in entries):
            yield f"{current}/", None
            continue
        for name, entry in entries:
            path = f"{current}/{name}" if current else name
            if not entry.is_dir():
                yield path, _size(entry)
            elif is_left_out_folder(name):
                yield f"{path}/", None
            else:
                (below if entry.is_dir(follow_symlinks=False) else links).append(path)


def _entries(folder: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry


def _size(entry: "os.DirEntry[str]") -> int | None:
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:
        return None
