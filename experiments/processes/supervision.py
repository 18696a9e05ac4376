"""Watching a child process until it ends, hangs or is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.processes.children import start, stop
from experiments.processes.events import EventReader
from experiments.processes.private_network import PrivateNetwork

#: Seconds between two looks at a child.
_POLL_SECONDS = 0.1
#: Seconds that a child may take to end after it has told its result: servers and JVMs that a
#: library left behind do not hold up the harness.
_GRACE_AFTER_RESULT = 15.0
#: How the reason of a run begins that was ended for its time.
TIME_LIMIT_REASON = "did not end within the time limit"


class TimeLimitError(Exception):
    """The child did not end in time and was stopped."""


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
    """Run ``python -m <module> <folder>`` and pass on its events until it ends.

    Parameters
    ----------
    environment
        Environment of the child.
    time_limit
        Seconds.
    on_start
        Called with the child's process id.
    on_event
        Called with each event of ``events.jsonl``.
    on_poll
        Called ten times a second. What this or ``on_event`` raises ends the child.
    before_end
        Called when the child has told its result and its processes are still there.
    network
        In which the child runs; None is this process's own.

    Returns
    -------
    int or None
        The child's exit status; None when it had told its result and had to be stopped.

    Raises
    ------
    TimeLimitError
        After the child was interrupted, terminated and, if need be, killed.
    """
    reader = EventReader(folder / "events.jsonl")
    command = [sys.executable, "-m", module, str(folder)]
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
    """Ask as Ctrl-C would, so that Python prints where it was into the log."""
    try:
        os.kill(child.pid, signal.SIGINT)
        child.wait(3)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        return
