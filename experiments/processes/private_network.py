"""Private network of a run: a loopback interface that no other account can reach.

Some frameworks open servers without a password; TensorFlow's workers even listen on all addresses
of their host. In a Linux network namespace the run has its own loopback interface, so processes
outside the namespace cannot connect to these servers.
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
#: Namespaces in the order in which a process joins them: the first one grants the right to join
#: the others.
_KINDS = ("user", "net", "uts")


class NoPrivateNetworkError(ExperimentError):
    """Raised when this machine does not allow network namespaces; gives the kernel's reason."""


@dataclass(frozen=True)
class PrivateNetwork:
    """Namespaces that exist while this process holds them open or another process is inside."""

    #: Open files of the namespaces, in the order in which they are joined.
    descriptors: tuple[int, ...]


@contextmanager
def private_network() -> Iterator[PrivateNetwork]:
    """Create a network for processes of :func:`experiments.processes.children.start`.

    Yields
    ------
    PrivateNetwork
        The network, whose files are closed at the end of the block.

    Raises
    ------
    NoPrivateNetworkError
        If the kernel does not allow it: in containers without the required capability, or on a
        system that forbids user namespaces.
    """
    with ExitStack() as stack:
        yield _made(stack)


def _made(stack: ExitStack) -> PrivateNetwork:
    """Return a new network whose files are closed by ``stack``."""
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
