"""Which process has a run under way, so that another one can tell later whether it has died.

A mark is text: machine and user, boot, process namespace, process id, start of the process. The
first is a digest: a record may be published, and the id of a machine is nobody else's business.
"""

import hashlib
import os
import socket
from enum import Enum
from functools import cache
from pathlib import Path

_LENGTH = 16


class State(Enum):
    """The known facts about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    #: On another machine, in another container, or of another user.
    UNKNOWN = "unknown"


def own_mark() -> str:
    """Return the mark of this process."""
    pid = os.getpid()
    return f"{machine()} {_boot()} {_namespace()} {pid} {_started(pid)}"


@cache
def machine() -> str:
    """Return a digest of this machine, its name and this user, with which marks begin."""
    content = f"{socket.gethostname()} {_machine_id()} {os.getuid()}"
    return hashlib.sha256(content.encode()).hexdigest()[:_LENGTH]


def state_of(mark: str) -> State:
    """Tell what has become of the process with ``mark``."""
    try:
        where, boot, namespace, pid, started = mark.split(" ")
        number = int(pid)
    except ValueError:
        return State.UNKNOWN
    if where != machine():
        return State.UNKNOWN
    if boot != _boot():
        # Two containers of one name on two hosts have no id of their own that tells them apart.
        return State.DEAD if _machine_id() else State.UNKNOWN
    if namespace != _namespace():
        return State.UNKNOWN
    return State.ALIVE if _started(number) == started else State.DEAD


def _started(pid: int) -> str:
    """Return when ``pid`` began, in clock ticks since the boot; empty when it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # proc(5): after the name in parentheses, which may hold anything, comes the state.
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
