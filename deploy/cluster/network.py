"""Hosts with their own addresses: network namespaces on a bridge."""

import hashlib
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import DeployError

#: Range from which a /24 that this machine does not use is chosen for the namespaces.
_PRIVATE = ipaddress.IPv4Network("10.128.0.0/9")
_GATEWAY = 1
#: First priority of the routing rules: after the kernel's rule for local addresses (0) and before
#: the main table (32766).
_RULES_START = 31_000


@dataclass(frozen=True)
class Network:
    """A bridge and the namespaces on it."""

    #: Name of the bridge, and prefix of all other names.
    bridge: str
    subnet: str
    #: Host name -> address.
    hosts: Mapping[str, str]

    @property
    def gateway(self) -> str:
        """Address of this machine on the bridge."""
        return str(ipaddress.IPv4Network(self.subnet)[_GATEWAY])

    def namespace(self, host: str) -> str:
        """Return the name of the namespace of ``host``."""
        return f"{self.bridge}-{host}"


def plan(folder: Path, numbers: Mapping[str, int]) -> Network:
    """Choose names and a free subnet for the cluster in ``folder`` without creating anything.

    Parameters
    ----------
    numbers
        Host name -> last part of its address.

    Raises
    ------
    DeployError
        If no subnet is free.
    """
    digest = hashlib.sha256(str(folder.absolute()).encode()).digest()
    used = list(_used_networks())
    candidates = list(_PRIVATE.subnets(new_prefix=24))
    first = int.from_bytes(digest[:4], "big") % len(candidates)
    for subnet in candidates[first:] + candidates[:first]:
        if not any(subnet.overlaps(other) for other in used):
            hosts = {host: str(subnet[number]) for host, number in numbers.items()}
            return Network(f"sdl{digest.hex()[:6]}", str(subnet), hosts)
    raise DeployError(f"no /24 of {_PRIVATE} is free on this machine: see 'ip route'")


def create(network: Network) -> None:
    """Create the bridge, the namespaces and their addresses.

    The hosts are reachable only through the bridge: packets to them that arrive on other interfaces
    of this machine are rejected, even if the machine forwards other packets.

    Raises
    ------
    DeployError
        If permissions are missing or the kernel has no namespaces. What was created until then is
        not removed.
    """
    bridge, subnet = network.bridge, network.subnet
    _ip("link", "add", bridge, "type", "bridge")
    for rule in _rules(network):
        _ip("rule", "add", *rule)
    _ip("address", "add", f"{network.gateway}/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    for number, (host, address) in enumerate(network.hosts.items()):
        namespace, cable = network.namespace(host), f"{bridge}-{number}"
        _ip("netns", "add", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", bridge, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip(
            "-n",
            namespace,
            "address",
            "add",
            f"{address}/{subnet.partition('/')[2]}",
            "dev",
            "eth0",
        )
        _ip("-n", namespace, "link", "set", "eth0", "up")
        # Some frameworks determine their own address from the route to the Internet.
        _ip("-n", namespace, "route", "add", "default", "via", network.gateway)


def remove(network: Network) -> None:
    """Remove everything that :func:`create` has created; missing parts are ignored."""
    for host in network.hosts:
        _ip("netns", "delete", network.namespace(host), check=False)
    _ip("link", "delete", network.bridge, check=False)
    for rule in _rules(network):
        _ip("rule", "delete", *rule, check=False)


def processes(namespace: str) -> list[int]:
    """Return the ids of the processes in ``namespace``; empty if the namespace does not exist."""
    listed = _ip("netns", "pids", namespace, check=False)
    return [int(pid) for pid in listed.split()]


def check_allowed() -> None:
    """Check that this user can create network namespaces on this machine.

    Raises
    ------
    DeployError
        If namespaces cannot be created; the message says what is missing.
    """
    if os.geteuid() != 0:
        raise DeployError(
            "creating network namespaces requires root: use sudo, or a user namespace from "
            "'unshare --map-root-user --net --mount sh' and 'mount -t tmpfs tmpfs /run'"
        )
    probe = f"sdl-probe-{os.getpid()}"
    _ip("netns", "add", probe)
    _ip("netns", "delete", probe)


def _rules(network: Network) -> Iterator[list[str]]:
    first = _RULES_START + int(ipaddress.IPv4Network(network.subnet)[0]) // 256 % 500 * 3
    to = ["to", network.subnet]
    yield ["priority", str(first), "iif", "lo", *to, "lookup", "main"]
    yield ["priority", str(first + 1), "iif", network.bridge, *to, "lookup", "main"]
    yield ["priority", str(first + 2), *to, "prohibit"]


def _used_networks() -> Iterator[ipaddress.IPv4Network]:
    for route in json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]"):
        if route["dst"] != "default":
            yield ipaddress.IPv4Network(route["dst"], strict=False)


def _ip(*arguments: str, check: bool = True) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DeployError("the command 'ip' was not found: install iproute2") from error
    if check and done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DeployError(f"'ip {' '.join(arguments)}' failed: {reason}")
    return done.stdout
