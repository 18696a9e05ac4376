"""Which address of this machine a cluster reaches."""

import re
import socket

from data.process_environment import LOOPBACK
from experiments.errors import ExperimentError

_HOST = re.compile(r"^(?:spark://)?\[?([^\]]+?)\]?:(\d+)$")


def driver_address(master: str) -> str | None:
    """Return the address of this machine on its way to ``master``, or None where Spark must choose.

    On one machine that is loopback. Servers of the driver, Spark's and the frameworks', listen
    there and nowhere else.

    Parameters
    ----------
    master
        Spark URL. Of several masters of one cluster the first that can be looked up decides;
        nothing is sent to them.

    Raises
    ------
    ExperimentError
        When no master of a standalone cluster has an address, or none can be reached from here.
    """
    if on_this_machine(master):
        return LOOPBACK
    if not master.startswith("spark://"):
        return None  # YARN and Kubernetes know their networks
    reason: object = "write spark://host:port"
    for one in master.removeprefix("spark://").split(","):
        if not (found := _HOST.match(one)):
            continue
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                found[1], int(found[2]), type=socket.SOCK_DGRAM
            )[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)  # chooses a route and sends nothing
                return str(probe.getsockname()[0])
        except OSError as error:
            reason = error.strerror or error
    raise ExperimentError(f"--master {master} cannot be reached from here: {reason}")


def on_this_machine(master: str) -> bool:
    """Tell whether executors of ``master`` share this machine's loopback and folders."""
    return master.startswith(("embedded", "local", f"spark://{LOOPBACK}"))
