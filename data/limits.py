"""Check of operating system limits that are too low for Spark, made before it starts.

Beyond these limits, Java, a shell or TensorFlow fails during startup, each with its own message.
"""

import os
import resource
import tempfile

from data.errors import DataError

#: Open files per process: the number that Spark's largest process needs, and the limit that is set.
OPEN_FILES, _WANTED_FILES = 512, 4096
#: Processes and threads of a run with two workers; each Java process has about 50 threads.
PROCESSES = 600


def check() -> None:
    """Raise the limits of this process and its children as far as permitted, and check them.

    Raises
    ------
    DataError
        If a limit is too low, or no folder for temporary files is writable.
    """
    files = _raised(resource.RLIMIT_NOFILE, _WANTED_FILES)
    if files < OPEN_FILES:
        raise DataError(
            f"this process is limited to {files} open files ('ulimit -n'), Spark needs "
            f"{OPEN_FILES}: ask the administrator of this machine for a higher limit"
        )
    processes = _raised(resource.RLIMIT_NPROC, None)
    if os.geteuid() and processes < (needed := _running() + PROCESSES):
        raise DataError(
            f"this account is limited to {processes:,} processes and threads ('ulimit -u'), Spark "
            f"needs {needed:,} including those already running: stop some, or ask the "
            "administrator of this machine for a higher limit"
        )
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise DataError(
            "no folder for temporary files is writable: set TMPDIR to one with free space"
        ) from error


def _raised(kind: int, wanted: int | None) -> float:
    """Raise a limit to ``wanted``, or to the hard limit for None; return the new limit."""
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
    """Return the current number of threads of this account."""
    import psutil

    account, threads = os.getuid(), 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        if process.info["uids"] and process.info["uids"].real == account:
            threads += process.info["num_threads"] or 1
    return threads
