"""Limits of the operating system under which Spark does not work, looked at before it starts.

Behind them Java, a shell or TensorFlow fails in the middle of a start, each in its own words.
"""

import os
import resource
import tempfile

from data.errors import DataError

#: Files that a process may have open: what Spark's largest process needs, and what it is given.
OPEN_FILES, _WANTED_FILES = 512, 4096
#: Processes and threads of a run with two workers: Java has about 50 threads in each process.
PROCESSES = 600


def check() -> None:
    """Raise this process's limits as far as it may, for itself and for those that it starts.

    Raises
    ------
    DataError
        When a limit is too low, or no folder for temporary files can be written to.
    """
    files = _raised(resource.RLIMIT_NOFILE, _WANTED_FILES)
    if files < OPEN_FILES:
        raise DataError(
            f"this process may have {files} files open ('ulimit -n'), Spark needs {OPEN_FILES}: "
            "ask whoever looks after this machine for a higher limit"
        )
    processes = _raised(resource.RLIMIT_NPROC, None)
    if os.geteuid() and processes < (needed := _running() + PROCESSES):
        raise DataError(
            f"this account may have {processes:,} processes and threads ('ulimit -u'), with those "
            f"that run already Spark needs {needed:,}: end some, or ask whoever looks after this "
            "machine for a higher limit"
        )
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise DataError(
            "no folder for temporary files can be written to: name one with free space in TMPDIR"
        ) from error


def _raised(kind: int, wanted: int | None) -> float:
    """Return the limit of a kind after it was raised to ``wanted``, or as far as it goes."""
    soft, hard = (_number(limit) for limit in resource.getrlimit(kind))
    goal = hard if wanted is None else min(hard, max(soft, wanted))
    if goal > soft:
        resource.setrlimit(kind, (_limit(goal), _limit(hard)))
    return goal


def _number(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def _limit(number: float) -> int:
    return resource.RLIM_INFINITY if number == float("inf") else int(number)


def _running() -> int:
    """Return how many threads this account has now."""
    import psutil

    account, threads = os.getuid(), 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        if process.info["uids"] and process.info["uids"].real == account:
            threads += process.info["num_threads"] or 1
    return threads
