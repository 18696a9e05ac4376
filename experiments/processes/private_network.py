"""A network of a run's own: loopback and nothing else, which no other account can reach.

Some frameworks open servers without a password, TensorFlow's workers even on all addresses of
their host. A network namespace of Linux gives the run a loopback of its own, so that whoever is
not in it cannot connect to any of them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import ExperimentError

_SCRIPT = Path(__file__).parent / "make_network.py"
#: In the order in which a process joins them: the first gives it the right to join the others.
_KINDS = ("user", "net", "uts")


class NoPrivateNetworkError(ExperimentError):
    """This machine gives no network namespace; the message is the kernel's reason."""


@dataclass(frozen=True)
class PrivateNetwork:
    """Namespaces that last as long as this process holds them open, or another one is inside."""

    #: Open files of the namespaces, in the order in which they are joined.
    descriptors: tuple[int, ...]


@contextmanager
def private_network() -> Iterator[PrivateNetwork]:
    """Make a network for processes of :func:`experiments.processes.children.start`.

    Raises
    ------
    NoPrivateNetworkError
        Where the kernel does not allow it: containers without the right, or a system that forbids
        user namespaces.
    """
    with ExitStack() as stack:
        yield _made(stack)


def _made(stack: ExitStack) -> PrivateNetwork:
    """Return a new network whose files ``stack`` closes."""
    command = [sys.executable, "-I", "-S", str(_SCRIPT)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as maker:
        assert maker.stdin is not None
        assert maker.stdout is not None
        assert maker.stderr is not None
        if not maker.stdout.readline():
            lines = maker.stderr.read().strip().splitlines() or ["no reason given"]
            raise NoPrivateNetworkError(lines[-1])
        kinds = [kind for kind in _KINDS if kind != "user" or os.geteuid() != 0]
        found = []
        for kind in kinds:
            found.append(os.open(f"/proc/{maker.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
            stack.callback(os.close, found[-1])
        maker.stdin.close()
    return PrivateNetwork(tuple(found))
