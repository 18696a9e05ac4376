"""Marks that identify the process of a run, to determine later whether it has died.

A mark is a string with five parts: machine and user, boot, process namespace, process id and start
time of the process. The first part is a digest, because a record may be published and should not
reveal the id of the machine.
"""

import hashlib
import os
import socket
from enum import Enum
from functools import cache
from pathlib import Path

_LENGTH = 16


class State(Enum):
    """State of a process."""

    ALIVE = "alive"
    DEAD = "dead"
    #: The process is on another machine, in another container, or of another user.
    UNKNOWN = "unknown"


def own_mark() -> str:
    """Return the mark of this process."""
    pid = os.getpid()
    return f"{machine()} {_boot()} {_namespace()} {pid} {_started(pid)}"


@cache
def machine() -> str:
    """Return a digest of this machine, its name and this user: the first part of a mark."""
    content = f"{socket.gethostname()} {_machine_id()} {os.getuid()}"
    return hashlib.sha256(content.encode()).hexdigest()[:_LENGTH]


def state_of(mark: str) -> State:
    """Return the state of the process with ``mark``."""
    try:
        where, boot, namespace, pid, started = mark.split(" ")
        number = int(pid)
    except ValueError:
        return State.UNKNOWN
    if where != machine():
        return State.UNKNOWN
    if boot != _boot():
        # Containers of the same name on two hosts cannot be distinguished without a machine id.
        return State.DEAD if _machine_id() else State.UNKNOWN
    if namespace != _namespace():
        return State.UNKNOWN
    return State.ALIVE if _started(number) == started else State.DEAD


def _started(pid: int) -> str:
    """Return the start of ``pid`` in clock ticks since the boot, or "" if it is not running."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # proc(5): the state follows the name in parentheses, which may contain any character.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").replace("-", "")[:_LENGTH] or "-"


def _machine_id() -> str:
    return _read("/etc/machine-id")


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
