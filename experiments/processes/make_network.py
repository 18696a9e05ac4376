"""Creates a network namespace that has only a loopback interface, and holds it until stdin closes.

``python make_network.py`` prints a line when the namespace exists. The script imports nothing from
the project. Root creates the namespace directly. Other users create it in a user namespace that
maps only their own account, to the same id, so that files created inside belong to them as usual.
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
#: Frameworks resolve the name of their host to find an address to listen on.
_HOST_NAME = "localhost"


def main() -> None:
    """Create the namespaces, report it on stdout, and wait until stdin closes."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(_CLONE_NEWNET | _CLONE_NEWUTS)
    else:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWUTS)
        # The kernel accepts the map of groups only after setgroups has been disabled.
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
