"""Parallel listing of the objects below a prefix; a store returns a thousand names per request."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyarrow import fs

#: Number of concurrent requests, which spend most of their time waiting.
_REQUESTS = 16
#: Maximum number of levels that are listed one by one to find enough prefixes for all requests.
_LEVELS = 4


def objects_below(filesystem: fs.FileSystem, root: str) -> Iterator[tuple[str, int]]:
    """Yield path (relative to ``root``) and size in bytes of every object, in arbitrary order.

    The prefixes directly below ``root`` are listed one by one, and so are the next levels while
    there are few prefixes; then each prefix is listed recursively. Objects directly below the same
    prefix can only be listed page by page.
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
