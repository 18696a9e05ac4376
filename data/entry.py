"""Process setup shared by all commands: file permissions and signal handling."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from data.errors import DataError

#: Environment variable that makes the project's files readable by others: ``group`` or ``all``,
#: within the limits of the user's own umask.
SHARE = "SPARKDL_SHARE"
#: Permission bits that are removed from new files, in addition to the user's own umask.
_HIDDEN = {"": 0o077, "group": 0o007, "all": 0o000}


def begin() -> None:
    """Make new files private and install signal handlers for an orderly shutdown.

    Every command calls this first. Child processes inherit the umask.
    """
    _open_streams()
    try:
        os.umask(_umask())
    except DataError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    end_in_order()


def _open_streams() -> None:
    """Open standard streams that the caller has closed on the null device.

    Otherwise the next file to be opened would get the stream's descriptor, and child processes
    could write their messages to it, for example to a database.
    """
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


@contextmanager
def private_files() -> Iterator[None]:
    """Make files created within the block private, for callers other than the commands.

    Raises
    ------
    DataError
        If ``SPARKDL_SHARE`` is neither ``group`` nor ``all``.
    """
    before = os.umask(_umask())
    try:
        yield
    finally:
        os.umask(before)


def end_in_order() -> None:
    """Let Ctrl-C, ``kill`` and a closed terminal end this process through its ``finally`` clauses.

    Shells start background jobs with SIGINT ignored; the handler is set nevertheless, because
    SIGINT must always close a run. A SIGHUP ignored by ``nohup`` stays ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminated)


def _terminated(number: int, _: Any) -> NoReturn:
    """Exit in the same way as on Ctrl-C, so that records are closed and child processes stopped."""
    raise SystemExit(128 + number)


def is_private() -> bool:
    """Return whether new files are accessible to the user only."""
    return not os.environ.get(SHARE, "").strip()


def _umask() -> int:
    share = os.environ.get(SHARE, "").strip()
    if share not in _HIDDEN:
        raise DataError(
            f"{SHARE}={share}: set it to 'group' or 'all', or unset it for files that no other "
            "user can read"
        )
    own = os.umask(0o077)  # the umask can be read only by setting it
    os.umask(own)
    return own | _HIDDEN[share]
