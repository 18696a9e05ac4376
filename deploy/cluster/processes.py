"""Starting processes that outlive the command on the cluster's hosts, and stopping them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil

from deploy.cluster.network import Network, processes
from deploy.cluster.services import Service
from deploy.cluster.state import Member
from deploy.errors import DeployError

_HOST_SCRIPT = Path(__file__).with_name("host.sh")
#: Seconds between SIGTERM and SIGKILL.
_GRACE = 8.0
#: Seconds within which a service must become healthy; MLflow creates its database first.
_START_LIMIT = 120.0
_HEALTH_SECONDS = 3.0
#: Python prefixes that belong to the system and therefore must not be hidden.
_SYSTEM = ("/", "/usr", "/usr/local")
#: Bypasses any proxy of this machine: requests stay in the cluster's network.
_OPENER = build_opener(ProxyHandler({}))


def start(service: Service, network: Network, folder: Path, environment: Path) -> Member:
    """Start ``service`` on its host, in a session that outlives this process."""
    home = folder / "hosts" / service.name
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    log = folder / "logs" / f"{service.name}.log"
    log.parent.mkdir(exist_ok=True)
    command = ["ip", "netns", "exec", network.namespace(service.name)]
    if service.bare:
        command += ["unshare", "--uts", "sh", str(_HOST_SCRIPT), service.name]
        command += [str(folder / "hosts" / "names"), str(environment), *_own_python(), "--"]
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, *service.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(service.environment),
            cwd=home,
            start_new_session=True,
        )
    return Member(
        name=service.name,
        host=service.name,
        pid=child.pid,
        started=psutil.Process(child.pid).create_time(),
        address=service.address,
        health=service.health,
        log=str(log),
    )


def wait_until_healthy(members: Iterable[Member]) -> None:
    """Wait until all ``members`` pass their health checks.

    Raises
    ------
    DeployError
        If a member exits or does not respond in time; the message contains the last line of its
        log.
    """
    deadline = time.monotonic() + _START_LIMIT
    for member in members:
        while not is_healthy(member):
            if member.process is None:
                raise DeployError(f"{member.name} exited immediately: {_last_line(member)}")
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{member.name} did not respond at {member.health} within {_START_LIMIT:g} s: "
                    f"{_last_line(member)}"
                )
            time.sleep(0.1)


def is_healthy(member: Member) -> bool:
    """Return whether ``member`` passes its health check."""
    try:
        with _OPENER.open(member.health, timeout=_HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def fetch(url: str, method: str = "GET") -> bytes:
    """Request ``url`` from a service of the cluster and return the response body."""
    from urllib.request import Request

    with _OPENER.open(Request(url, method=method), timeout=_HEALTH_SECONDS) as answer:
        return bytes(answer.read())


def stop(members: Iterable[Member], network: Network, hosts: Iterable[str]) -> None:
    """Stop ``members`` and all other processes on ``hosts``: terminate, wait, then kill."""
    running = [member.process for member in members]
    found = {process.pid: process for process in running if process is not None}
    for host in hosts:
        for pid in processes(network.namespace(host)):
            if pid != os.getpid() and pid not in found:
                with suppress(psutil.NoSuchProcess):
                    found[pid] = psutil.Process(pid)
    for process in found.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found.values(), timeout=_GRACE)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=_GRACE)


def _own_python() -> list[str]:
    """Return the folders of this process's Python, which are hidden from hosts."""
    prefixes = {str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)}
    return sorted(prefixes - set(_SYSTEM), key=len, reverse=True)


def _last_line(member: Member) -> str:
    lines = Path(member.log).read_text(errors="replace").strip().splitlines()
    return f"{lines[-1][:200] if lines else 'its log is empty'} (full log: {member.log})"
