"""Supervision of a child process until it ends, exceeds its time limit or is interrupted."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data.interpreter import interpreter
from experiments.processes.children import start, stop
from experiments.processes.events import EventReader
from experiments.processes.private_network import PrivateNetwork

#: Seconds between two polls of a child.
_POLL_SECONDS = 0.1
#: Seconds that a child may take to end after it has reported its result, so that remaining servers
#: and JVMs of a library do not delay the harness.
_GRACE_AFTER_RESULT = 15.0
#: Beginning of the status reason of a run that was stopped at its time limit.
TIME_LIMIT_REASON = "did not end within the time limit"


class TimeLimitError(Exception):
    """Raised when a child did not end within the time limit and was stopped."""


def supervise(
    module: str,
    folder: Path,
    *,
    environment: Mapping[str, str],
    time_limit: float,
    on_start: Callable[[int], None] = lambda _: None,
    on_event: Callable[[dict[str, Any]], None] = lambda _: None,
    on_poll: Callable[[], None] = lambda: None,
    before_end: Callable[[], None] = lambda: None,
    network: PrivateNetwork | None = None,
) -> int | None:
    """Run ``python -m <module> <folder>`` and forward its events until it ends.

    Parameters
    ----------
    module
        Module to run.
    folder
        Argument of the module, and folder of its log and events.
    environment
        Environment variables of the child.
    time_limit
        Time limit in seconds.
    on_start
        Called with the child's process id.
    on_event
        Called with each event of ``events.jsonl``.
    on_poll
        Called ten times a second. An exception raised by it or by ``on_event`` ends the child.
    before_end
        Called when the child has reported its result and its processes are still running.
    network
        Network of the child; None is that of this process.

    Returns
    -------
    int or None
        Exit status of the child; None if it had reported its result and had to be stopped.

    Raises
    ------
    TimeLimitError
        If the child does not end within the time limit. It is then interrupted, terminated and, if
        necessary, killed.
    """
    reader = EventReader(folder / "events.jsonl")
    command = [interpreter(), "-m", module, str(folder)]
    child = start(command, folder / "worker.log", environment, network)
    on_start(child.pid)
    deadline, ended = time.monotonic() + time_limit, None
    try:
        while True:
            on_poll()
            for event in reader.new():
                on_event(event)
                if event["event"] == "end":
                    before_end()
                    ended = time.monotonic()
            status = child.poll()
            if status is not None:
                for event in reader.new():
                    on_event(event)
                return status
            if ended is not None and time.monotonic() > ended + _GRACE_AFTER_RESULT:
                return None
            if ended is None and time.monotonic() > deadline:
                _interrupt(child)
                raise TimeLimitError(f"{TIME_LIMIT_REASON} of {time_limit:g} s")
            time.sleep(_POLL_SECONDS)
    finally:
        stop([child])


def _interrupt(child: subprocess.Popen) -> None:
    """Send SIGINT, so that Python prints a traceback into the log."""
    try:
        os.kill(child.pid, signal.SIGINT)
        child.wait(3)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        return
