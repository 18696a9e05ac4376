"""Becomes another program that the kernel terminates when this one's parent dies.

``python end_with_parent.py <parent's pid> <namespaces> <program> [argument ...]``. Imports nothing
of the project: it stands between the harness and every process that it starts. The namespaces are
open files, joined in their order: ``5,6``; ``-`` stays in the parent's.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Join the namespaces, ask the kernel for the signal, then become the program."""
    parent, namespaces, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    library = ctypes.CDLL(None, use_errno=True)
    for descriptor in map(int, namespaces.split(",") if namespaces != "-" else ()):
        if library.setns(descriptor, 0):
            sys.exit(f"a namespace cannot be joined: {os.strerror(ctypes.get_errno())}")
        os.close(descriptor)
    # After the namespaces: joining that of a user takes the signal back.
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
