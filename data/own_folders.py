"""Folders owned by a single process, and removal of those whose process has died.

The name of a folder contains the id of its process, and the folder is locked while the process uses
it: the id alone is meaningless in another container or on another machine that shares the folder.
"""

import fcntl
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Names given by :func:`temporary_folder` and :func:`unfinished`.
_NAME = re.compile(r"(?:sparkdl-[a-z-]+-(\d+)-\w+|.+\.unfinished-(\d+))")


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """Yield a new folder ``sparkdl-<kind>-<process id>-…``, which is removed after the block."""
    prefix = f"sparkdl-{kind}-{os.getpid()}-"
    # A child process that still writes must not cause an error; the next command removes the rest.
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with held(folder):
            yield folder


def unfinished(target: str | Path) -> Path:
    """Return a temporary path for ``target`` until it is complete, unique to this process."""
    path = Path(target)
    return path.with_name(f"{path.name}.unfinished-{os.getpid()}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Lock the folder ``path``, so that other processes do not consider it abandoned."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # without locks on the file system, only the process id protects it
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def remove_abandoned(*folders: str | Path) -> list[Path]:
    """Remove from ``folders`` what ended processes of this user created.

    Anything that may be in use is kept: other names, files of other users, and folders locked by
    processes in other containers.

    Returns
    -------
    list of pathlib.Path
        Removed paths.
    """
    return [path for folder in folders for path in _remove_all(_content(Path(folder)))]


def remove_abandoned_temporary() -> list[Path]:
    """Remove folders that :func:`temporary_folder` created for processes that have ended."""
    return remove_abandoned(tempfile.gettempdir())


def remove_abandoned_beside(target: Path) -> list[Path]:
    """Remove unfinished versions of ``target`` of processes that have ended."""
    return _remove_all(target.parent.glob(f"{glob.escape(target.name)}.unfinished-*"))


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # no such folder, or no permission to read it
        return []


def _remove_all(paths: Iterable[Path]) -> list[Path]:
    removed = []
    for path in paths:
        with suppress(OSError):
            if _is_abandoned(path):
                _remove(path)
                removed.append(path)
    return removed


def _is_abandoned(path: Path) -> bool:
    found = _NAME.fullmatch(path.name)
    if found is None or path.is_symlink() or path.lstat().st_uid != os.getuid():
        return False
    return not _is_alive(int(found[1] or found[2])) and _is_free(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_free(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or a file system without locks
        return False
    else:
        return True
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
