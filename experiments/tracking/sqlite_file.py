"""SQLite files: what is at a path, a lock between processes, and replacing one as a whole."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from data.own_folders import remove_abandoned_beside, unfinished
from experiments.errors import ExperimentError

#: Files that SQLite keeps beside a database, with what belongs to it and to no other one.
_COMPANIONS = ("-journal", "-wal", "-shm")
#: Seconds that a look at a database waits for a process that writes.
_BUSY_SECONDS = 20.0


def tables(path: Path) -> set[str]:
    """Return the names of the tables of the database ``path``; none where there is no file.

    Raises
    ------
    ExperimentError
        When ``path`` is a folder, no database, damaged or not to be read.
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
    """Open the database file ``path``, which must be there; for reading where it is read-only."""
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    address = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out of a block with the same ``path`` until this one has left it."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("a") as handle:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(lock, handle.fileno()):
                continue  # who had it has removed it
            try:
                remove_abandoned_beside(path)
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def put_in_place(made: Path, path: Path) -> None:
    """Let the file ``path`` become a copy of the database ``made``, at once and as a whole."""
    copy = unfinished(path)
    try:
        copy_to(made, copy)
        for suffix in _COMPANIONS:  # of a database that is there no more
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)


def copy_to(source: Path, target: Path) -> None:
    """Write the content of the database ``source`` to the file ``target``, to the disk itself."""
    with closing(connect(source)) as content, closing(sqlite3.connect(target)) as copy:
        content.backup(copy)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def move_aside(path: Path) -> Path:
    """Give the database ``path`` another name, and return that."""
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
        return f"{path} is no SQLite database: move it away or name another one"
    if "locked" in str(error):
        return f"{path} is locked by another process: repeat the command when that has ended"
    return f"{path} cannot be read ({error}): move it away or name another one"
