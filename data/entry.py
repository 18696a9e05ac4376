"""How every command of the project begins: who may read its files, and how it ends."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from data.errors import DataError

#: Variable that lets others read what the project writes: ``group`` or ``all``, as far as the
#: user's own umask lets them.
SHARE = "SPARKDL_SHARE"
#: Permissions that are taken away from new files, beside the user's own umask.
_HIDDEN = {"": 0o077, "group": 0o007, "all": 0o000}


def begin() -> None:
    """Make new files private, and let signals end this process in order.

    Called first by every command; child processes inherit the first.
    """
    _open_streams()
    try:
        os.umask(_umask())
    except DataError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    end_in_order()


def _open_streams() -> None:
    """Open what the caller has closed of the standard streams, so that it takes what is written.

    The next file would have its number otherwise: a database, for example, into which a child
    process writes its messages.
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
    """Make files private that are new within the block, for callers that are no command.

    Raises
    ------
    DataError
        When ``SPARKDL_SHARE`` is neither ``group`` nor ``all``.
    """
    before = os.umask(_umask())
    try:
        yield
    finally:
        os.umask(before)


def end_in_order() -> None:
    """Let Ctrl-C, ``kill`` and a closed terminal end this process through its ``finally`` clauses.

    A shell starts background jobs deaf to Ctrl-C, and a run must always be closed by it. ``nohup``
    starts them deaf to the closed terminal, which is what it is for.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminated)


def _terminated(number: int, _: Any) -> NoReturn:
    """End as Ctrl-C does, so that records are closed and children stopped."""
    raise SystemExit(128 + number)


def is_private() -> bool:
    """Tell whether nobody was let in who is not the user."""
    return not os.environ.get(SHARE, "").strip()


def _umask() -> int:
    share = os.environ.get(SHARE, "").strip()
    if share not in _HIDDEN:
        raise DataError(
            f"{SHARE}={share}: write 'group' or 'all', or leave it out for files that nobody else "
            "can read"
        )
    own = os.umask(0o077)  # the only way to ask for it is to set it
    os.umask(own)
    return own | _HIDDEN[share]
