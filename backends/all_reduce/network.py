"""Network settings of TensorFlow's workers, for which TensorFlow 2.19 has no options.

Each worker runs a server that requires no password and listens on every address of its machine, and
connects as a client to the servers of the others.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from backends.polling import polled
from backends.ports import LOOPBACK

_ANY = ("0.0.0.0", "::")
_LOOPBACK_DEVICE = b"lo\0"
#: Seconds between two checks of the sockets of this process.
_POLL_SECONDS = 0.05


@contextmanager
def private_network() -> Iterator[None]:
    """Protect the servers of the workers, as far as the kernel allows, while workers connect.

    Clients use no proxy: otherwise gRPC would apply ``http_proxy`` even to addresses in the network
    of the cluster. If ``TF_CONFIG`` contains only loopback addresses, the server is closed to other
    machines, which requires no root privileges from Linux 5.7 on.
    """
    os.environ["TF_GRPC_DEFAULT_OPTIONS"] = "grpc.enable_http_proxy=0"
    if not _on_one_machine():
        yield
        return
    # The server listens long before the last worker has connected, so it must be closed early.
    with polled(_close_to_others, _POLL_SECONDS, "loopback-only"):
        yield


def _on_one_machine() -> bool:
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    addresses = [address for group in cluster.values() for address in group]
    return all(address.startswith(f"{LOOPBACK}:") for address in addresses)


def _close_to_others() -> None:
    """Bind the sockets on which this process listens on all addresses to loopback."""
    for one in psutil.Process().net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr.ip in _ANY:
            with suppress(OSError), socket.socket(fileno=os.dup(one.fd)) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _LOOPBACK_DEVICE)
