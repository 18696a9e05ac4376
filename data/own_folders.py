"""Folders that one process makes for itself, and what is done with those of processes that died.

The name says which process it is, and the folder is locked for as long as the process has it: a
process id says nothing in another container or on another machine that sees the same folder.
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

#: Temporary folders of :func:`temporary_folder`, and what :func:`unfinished` names.
_NAME = re.compile(r"(?:sparkdl-[a-z-]+-(\d+)-\w+|.+\.unfinished-(\d+))")


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """Yield a new folder ``sparkdl-<kind>-<process id>-…``, which is removed with the block."""
    prefix = f"sparkdl-{kind}-{os.getpid()}-"
    # A child that still writes must not break what comes after; the next command removes the rest.
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with held(folder):
            yield folder


def unfinished(target: str | Path) -> Path:
    """Return the name for what will be ``target`` when it is whole: one for each process."""
    path = Path(target)
    return path.with_name(f"{path.name}.unfinished-{os.getpid()}")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes from taking the folder ``path`` for abandoned."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: the process id alone speaks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def remove_abandoned(*folders: str | Path) -> list[Path]:
    """Remove from ``folders`` what processes of this user have left there and are gone.

    What cannot be judged stays: names of another kind, files of another user, and locks of
    processes in other containers.

    Returns
    -------
    list of pathlib.Path
        What was removed.
    """
    return [path for folder in folders for path in _remove_all(_content(Path(folder)))]


def remove_abandoned_temporary() -> list[Path]:
    """Remove what :func:`temporary_folder` has made for processes that are gone."""
    return remove_abandoned(tempfile.gettempdir())


def remove_abandoned_beside(target: Path) -> list[Path]:
    """Remove what was to become ``target`` in processes that are gone."""
    return _remove_all(target.parent.glob(f"{glob.escape(target.name)}.unfinished-*"))


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # no such folder, or one that this user must not read
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
    except OSError:  # held, or a file system without locks
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
