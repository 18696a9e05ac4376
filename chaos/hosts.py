"""Hosts of a cluster in namespaces of this machine, as described by ``cluster.json``."""

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil
from pydantic import BaseModel, ValidationError

from experiments.errors import ExperimentError

_FILE, _ENVIRONMENT, _DRIVER = "cluster.json", "driver.env", "driver"
#: Seconds that a worker may take to reconnect to its master: it tries every few seconds at first,
#: then every minute.
_HEAL_LIMIT = 180.0
_OPENER = build_opener(ProxyHandler({}))


class _Member(BaseModel):
    name: str
    health: str


class _Content(BaseModel):
    """The part of ``cluster.json`` that is used here."""

    bridge: str
    hosts: dict[str, str]
    members: list[_Member]
    options: dict[str, str]
    stage: str


@dataclass
class Hosts:
    """The hosts that ``sparkdl-bench deploy cluster up`` has started in ``folder``."""

    folder: Path
    content: _Content
    #: Default route of each worker host, which the kernel deletes when its link is taken down.
    _routes: dict[str, str] = field(default_factory=dict)

    @property
    def workers(self) -> list[str]:
        """Names of the hosts with a Spark worker."""
        return [host for host in self.content.hosts if host.startswith("worker-")]

    @property
    def overrides(self) -> dict[str, str]:
        """Values of an experiment that trains on this cluster, by dotted key."""
        options = self.content.options
        keys = {"--master": "spark.master", "--environment": "spark.environment"}
        return {key: options[option] for option, key in keys.items() if option in options}

    @property
    def driver_command(self) -> list[str]:
        """Prefix of a command that is to run on the driver's host."""
        inside = ["ip", "netns", "exec", self._namespace(_DRIVER)]
        return [*inside, "sh", "-c", '. "$0" && exec "$@"', str(self.folder / _ENVIRONMENT)]

    def processes(self, host: str) -> list[psutil.Process]:
        """Return the processes on ``host``."""
        found = []
        for pid in _ip("netns", "pids", self._namespace(host)).split():
            try:
                found.append(psutil.Process(int(pid)))
            except psutil.NoSuchProcess:
                continue
        return found

    def host_of(self, process: psutil.Process) -> str:
        """Return the worker host on which ``process`` runs."""
        return next(host for host in self.workers if process in self.processes(host))

    def cut(self, host: str) -> None:
        """Take the link of ``host`` down, without notifying any process."""
        self._routes.setdefault(host, self._default_route(host))
        _ip("-n", self._namespace(host), "link", "set", "eth0", "down")

    def mend(self, host: str) -> None:
        """Restore the link of ``host`` and its default route."""
        namespace = self._namespace(host)
        _ip("-n", namespace, "link", "set", "eth0", "up")
        route = self._routes.get(host)
        if route and not self._default_route(host):
            _ip("-n", namespace, "route", "add", *route.split())

    def remember(self) -> None:
        """Store the current routes, for :meth:`heal`."""
        self._routes = {host: self._default_route(host) for host in self.workers}

    def heal(self) -> None:
        """Restore every link and wait until all workers have reconnected to the master.

        Raises
        ------
        ExperimentError
            If a worker does not reconnect.
        """
        for host in self.workers:
            self.mend(host)
        (health,) = (one.health for one in self.content.members if one.name == "master")
        deadline = time.monotonic() + _HEAL_LIMIT
        while (found := _alive_workers(health)) < len(self.workers):
            if time.monotonic() > deadline:
                raise ExperimentError(
                    f"{found} of {len(self.workers)} workers reconnected to the cluster in "
                    f"{self.folder} within {_HEAL_LIMIT:g} s: restart it with "
                    "'sparkdl-bench deploy cluster down' and 'up'"
                )
            time.sleep(1)

    def _namespace(self, host: str) -> str:
        return f"{self.content.bridge}-{host}"

    def _default_route(self, host: str) -> str:
        route = _ip("-n", self._namespace(host), "-4", "route", "show", "default")
        return route.strip().removesuffix("linkdown").strip()


def read_hosts(folder: Path) -> Hosts:
    """Return the hosts of the cluster in ``folder``.

    Raises
    ------
    ExperimentError
        If no cluster is up there.
    """
    try:
        content = _Content.model_validate_json((folder / _FILE).read_text())
    except FileNotFoundError:
        raise ExperimentError(
            f"no cluster was started in {folder}: start one with 'sparkdl-bench deploy cluster up "
            f"--folder {folder}'"
        ) from None
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ExperimentError(f"{folder / _FILE} cannot be read: {reason}") from error
    if content.stage != "up":
        raise ExperimentError(
            f"the cluster in {folder} is not up: see 'sparkdl-bench deploy cluster status'"
        )
    hosts = Hosts(folder.absolute(), content)
    hosts.remember()
    return hosts


def _alive_workers(health: str) -> int:
    try:
        with _OPENER.open(health, timeout=5) as answer:
            return int(json.loads(answer.read())["aliveworkers"])
    except (URLError, OSError, ValueError, KeyError):
        return 0


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ExperimentError("the command 'ip' is missing: install iproute2") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ExperimentError(f"'ip {' '.join(arguments)}' failed: {reason}")
    return done.stdout
