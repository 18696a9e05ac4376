"""Address of this machine as seen from a cluster."""

import re
import socket

from data.process_environment import LOOPBACK
from experiments.errors import ExperimentError

_HOST = re.compile(r"^(?:spark://)?\[?([^\]]+?)\]?:(\d+)$")


def driver_address(master: str) -> str | None:
    """Return the local address of the route to ``master``, or None if Spark must choose it.

    For a cluster on this machine it is loopback. Servers of the driver, both Spark's and the
    frameworks', listen only on this address.

    Parameters
    ----------
    master
        Spark URL. Of several masters of one cluster, the first whose name can be resolved is used;
        no packet is sent.

    Raises
    ------
    ExperimentError
        If no master of a standalone cluster can be resolved or reached from here.
    """
    if on_this_machine(master):
        return LOOPBACK
    if not master.startswith("spark://"):
        return None  # YARN and Kubernetes determine the address
    reason: object = "use the form spark://host:port"
    for one in master.removeprefix("spark://").split(","):
        if not (found := _HOST.match(one)):
            continue
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                found[1], int(found[2]), type=socket.SOCK_DGRAM
            )[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)  # UDP: selects a route without sending a packet
                return str(probe.getsockname()[0])
        except OSError as error:
            reason = error.strerror or error
    raise ExperimentError(f"--master {master} cannot be reached from here: {reason}")


def on_this_machine(master: str) -> bool:
    """Return whether executors of ``master`` share this machine's loopback and folders."""
    return master.startswith(("embedded", "local", f"spark://{LOOPBACK}"))
