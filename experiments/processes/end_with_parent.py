"""Launcher that executes a program which the kernel terminates when the parent process dies.

``python end_with_parent.py <parent's pid> <namespaces> <program> [argument ...]``. The namespaces
are numbers of open files, such as ``5,6``, which are joined in this order; ``-`` keeps those of the
parent. This script imports nothing from the project, because it runs for every process that the
harness starts.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Join the namespaces, request the signal from the kernel, then execute the program."""
    parent, namespaces, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    library = ctypes.CDLL(None, use_errno=True)
    for descriptor in map(int, namespaces.split(",") if namespaces != "-" else ()):
        if library.setns(descriptor, 0):
            sys.exit(f"a namespace cannot be joined: {os.strerror(ctypes.get_errno())}")
        os.close(descriptor)
    # Must follow the namespaces, since joining a user namespace clears the signal.
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died before the request
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
