"""The objects below a prefix, asked for in parallel: a store tells a thousand names at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyarrow import fs

#: Requests under way at once: most of their time is waiting.
_REQUESTS = 16
#: Levels of prefixes that are opened in search of as many as there are requests.
_LEVELS = 4


def objects_below(filesystem: fs.FileSystem, root: str) -> Iterator[tuple[str, int]]:
    """Yield the path below ``root`` and the bytes of every object, in no order.

    The prefixes right below ``root`` are listed one by one, and so are those below them while they
    are few; then each is listed as a whole. Objects that lie side by side below one prefix can only
    be listed one page after the other.
    """
    start = len(root.rstrip("/")) + 1
    with ThreadPoolExecutor(_REQUESTS) as pool:
        prefixes = [root]
        for _ in range(_LEVELS):
            found = pool.map(partial(_list, filesystem, recursive=False), prefixes)
            prefixes = []
            for infos in found:
                prefixes += [i.path for i in infos if i.type == fs.FileType.Directory]
                yield from _files(infos, start)
            if len(prefixes) >= _REQUESTS:
                break
        for infos in pool.map(partial(_list, filesystem, recursive=True), prefixes):
            yield from _files(infos, start)


def _list(filesystem: fs.FileSystem, prefix: str, *, recursive: bool) -> list[fs.FileInfo]:
    infos: list[fs.FileInfo] = filesystem.get_file_info(
        fs.FileSelector(prefix, recursive=recursive)
    )
    return infos


def _files(infos: list[fs.FileInfo], start: int) -> Iterator[tuple[str, int]]:
    for info in infos:
        if info.type == fs.FileType.File:
            yield info.path[start:], info.size
