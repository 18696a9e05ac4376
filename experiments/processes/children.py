"""Child processes that do not outlive the run, however it ends."""

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

#: Seconds between SIGTERM and SIGKILL.
GRACE = 5.0
#: The path of a Unix socket has at most 107 bytes; frameworks create sockets two levels below.
_LONGEST_TEMPORARY = 60
_LAUNCHER = Path(__file__).parent / "end_with_parent.py"


def start(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    network: PrivateNetwork | None = None,
) -> subprocess.Popen:
    """Start ``command`` with its output in ``log``.

    The child has a separate session, so that Ctrl-C reaches only the parent, which then ends its
    children in order. The kernel terminates the child if the parent is killed. Temporary files of
    the child are created next to the log, because frameworks do not remove all of them.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File to which stdout and stderr are appended.
    environment
        Environment variables of the child.
    network
        Network of the child; None is that of this process.
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
    """Terminate, and after ``grace`` seconds kill, ``processes`` and all their descendants.

    Parameters
    ----------
    processes
        Processes returned by :func:`start`.
    grace
        Seconds between SIGTERM and SIGKILL.
    """
    with undisturbed(then_end=True):
        _stop(list(processes), grace)


def _stop(processes: Sequence[subprocess.Popen], grace: float) -> None:
    trees = [member for process in processes for member in tree(process.pid)]
    # Descendants of a process that has already ended are no longer below it in the tree.
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
    """Return the process ``pid`` and all its descendants, or an empty list if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _of_sessions(leaders: set[int]) -> list[psutil.Process]:
    """Return the processes in the sessions of ``leaders``, which may have ended."""
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
