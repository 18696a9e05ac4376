"""Makes a network namespace in which there is loopback alone, and holds it until stdin closes.

``python make_network.py`` prints a line when it is there. Imports nothing of the project. Root
makes the namespace as it is; everybody else makes it in a user namespace that knows one account,
their own, under its own number: files that are created inside belong to the user as ever.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWUTS = 0x04000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
#: Frameworks look their host's name up to find an address to listen on.
_HOST_NAME = "localhost"


def main() -> None:
    """Make the namespaces, say so, and wait."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(_CLONE_NEWNET | _CLONE_NEWUTS)
    else:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWUTS)
        # The kernel takes the map of groups only from who cannot drop a group any more.
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anywhere:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)  # struct ifreq
        fcntl.ioctl(anywhere, _SIOCSIFFLAGS, request)
    socket.sethostname(_HOST_NAME)
    print("ready", flush=True)
    sys.stdin.read()


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(name: str, text: str) -> None:
    Path("/proc/self", name).write_text(text)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(str(error))
