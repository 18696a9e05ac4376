"""SQLite files: inspection, locks between processes, and atomic replacement."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from data.own_folders import remove_abandoned_beside, unfinished
from experiments.errors import ExperimentError

#: Suffixes of the files that SQLite keeps next to a database.
_COMPANIONS = ("-journal", "-wal", "-shm")
#: Seconds to wait for another process that is writing to the database.
_BUSY_SECONDS = 20.0


def tables(path: Path) -> set[str]:
    """Return the names of the tables of the database ``path``, an empty set if it does not exist.

    Raises
    ------
    ExperimentError
        If ``path`` is a folder, is not a database, is damaged or cannot be read.
    """
    if not path.exists():
        return set()
    if path.is_dir():
        raise ExperimentError(f"{path} is a folder: name a file for the database")
    try:
        with closing(connect(path)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {str(name) for (name,) in rows}
    except sqlite3.DatabaseError as error:
        raise ExperimentError(_explained(path, error)) from error


def connect(path: Path) -> sqlite3.Connection:
    """Open the existing database file ``path``, read-only if it cannot be written to."""
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    address = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude other processes from blocks with the same ``path`` for the duration of this one."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("a") as handle:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(lock, handle.fileno()):
                continue  # the previous holder of the lock has removed its file
            try:
                remove_abandoned_beside(path)
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def put_in_place(made: Path, path: Path) -> None:
    """Replace the file ``path`` atomically by a copy of the database ``made``."""
    copy = unfinished(path)
    try:
        copy_to(made, copy)
        for suffix in _COMPANIONS:  # of the database that is replaced
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)


def copy_to(source: Path, target: Path) -> None:
    """Copy the database ``source`` to the file ``target``, and flush it to disk."""
    with closing(connect(source)) as content, closing(sqlite3.connect(target)) as copy:
        content.backup(copy)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def move_aside(path: Path) -> Path:
    """Rename the database ``path`` and return its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    for suffix in ("", *_COMPANIONS):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _explained(path: Path, error: sqlite3.DatabaseError) -> str:
    if "not a database" in str(error):
        return f"{path} is not an SQLite database: move it away or name another file"
    if "locked" in str(error):
        return f"{path} is locked by another process: repeat the command when it has ended"
    return f"{path} cannot be read ({error}): move it away or name another file"
