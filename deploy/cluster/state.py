"""The recorded state of a cluster, from which another process can stop it."""

from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel

from deploy.cluster.network import Network
from deploy.errors import DeployError

_FILE = "cluster.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Seconds by which two readings of a process's start time may differ.
_TOLERANCE = 1.0


class Member(BaseModel):
    """A process of the cluster."""

    name: str
    host: str
    pid: int
    #: Start time in seconds since 1970; detects that the process id was reused.
    started: float
    #: Address for clients.
    address: str
    #: URL that responds with status 200 while the process is healthy.
    health: str
    #: Path of the log.
    log: str

    @property
    def process(self) -> psutil.Process | None:
        """The running process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _TOLERANCE:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


class State(BaseModel):
    """A cluster that is up or being started."""

    #: Identifier of the machine's boot in which the cluster was started.
    boot: str
    bridge: str
    subnet: str
    #: Host name -> address.
    hosts: dict[str, str]
    members: list[Member] = []
    stage: Literal["starting", "up"] = "starting"
    #: Options of ``run_experiment.py`` for runs on the cluster, with their values.
    options: dict[str, str] = {}

    @property
    def network(self) -> Network:
        """Network of the cluster."""
        return Network(self.bridge, self.subnet, self.hosts)

    @property
    def is_of_this_boot(self) -> bool:
        """True if the machine has not been rebooted since the start."""
        return self.boot == boot()

    def write(self, folder: Path) -> None:
        """Replace the state file in ``folder`` atomically."""
        unfinished = folder / f"{_FILE}.unfinished"
        unfinished.write_text(self.model_dump_json(indent=1))
        unfinished.replace(folder / _FILE)


def read(folder: Path) -> State | None:
    """Return the cluster in ``folder``, or None if none was started there.

    Raises
    ------
    DeployError
        If the state file cannot be read or parsed.
    """
    path = folder / _FILE
    try:
        return State.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def forget(folder: Path) -> None:
    """Remove the file of :meth:`State.write`."""
    (folder / _FILE).unlink(missing_ok=True)


def boot() -> str:
    """Return the kernel's identifier of the current boot."""
    return _BOOT.read_text().strip()
