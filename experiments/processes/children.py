"""Child processes that never outlive the run, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from experiments.processes.ending import undisturbed
from experiments.processes.private_network import PrivateNetwork

#: Seconds between asking a process to end and forcing it.
GRACE = 5.0
#: A Unix socket's path has at most 107 bytes; frameworks put theirs two levels below.
_LONGEST_TEMPORARY = 60
_LAUNCHER = Path(__file__).parent / "end_with_parent.py"


def start(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    network: PrivateNetwork | None = None,
) -> subprocess.Popen:
    """Start ``command`` with its output in ``log``, in ``network`` or in this process's own.

    The child gets a session of its own, so that Ctrl-C reaches the parent alone, which then ends
    its children in order; and the kernel terminates it should the parent be killed. Its temporary
    files go beside the log, because frameworks leave some of them behind.
    """
    temporary = log.parent / "tmp"
    if len(os.fsencode(temporary)) <= _LONGEST_TEMPORARY:
        temporary.mkdir(exist_ok=True)
        environment = {**environment, "TMPDIR": str(temporary)}
    namespaces = network.descriptors if network else ()
    joined = ",".join(map(str, namespaces)) or "-"
    launcher = [sys.executable, "-S", str(_LAUNCHER), str(os.getpid()), joined]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            pass_fds=namespaces,
            start_new_session=True,
        )


def stop(processes: Iterable[subprocess.Popen], grace: float = GRACE) -> None:
    """End ``processes`` of :func:`start` and all their descendants: terminate, wait, kill, reap."""
    with undisturbed(then_end=True):
        _stop(list(processes), grace)


def _stop(processes: Sequence[subprocess.Popen], grace: float) -> None:
    trees = [member for process in processes for member in tree(process.pid)]
    # Of one that has ended already: its descendants are nobody's children any more.
    trees += _of_sessions({process.pid for process in processes})
    for process in reversed(processes):
        _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
    _, alive = psutil.wait_procs(trees, timeout=max(0.0, deadline - time.monotonic()))
    for member in alive:
        _signal(member.pid, signal.SIGKILL)
    for process in processes:
        process.wait()


def tree(pid: int) -> list[psutil.Process]:
    """Return the process ``pid`` and all its descendants that are alive."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _of_sessions(leaders: set[int]) -> list[psutil.Process]:
    """Return the processes in the sessions of ``leaders``, which need not be alive."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) in leaders:
                found.append(process)
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
