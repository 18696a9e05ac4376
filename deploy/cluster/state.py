"""What is known of a cluster that was started, so that another process can end it."""

from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel

from deploy.cluster.network import Network
from deploy.errors import DeployError

_FILE = "cluster.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Seconds by which two readings of a process's start may differ.
_TOLERANCE = 1.0


class Member(BaseModel):
    """A process of the cluster."""

    name: str
    host: str
    pid: int
    #: Seconds since 1970 at which it started: ids are given again.
    started: float
    #: What a client is told.
    address: str
    #: Answers with status 200 when the process works.
    health: str
    log: str

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it is still this one."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _TOLERANCE:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


class State(BaseModel):
    """A cluster, whole or half."""

    boot: str
    bridge: str
    subnet: str
    hosts: dict[str, str]
    members: list[Member] = []
    stage: Literal["starting", "up"] = "starting"
    #: What a run is told, by option.
    options: dict[str, str] = {}

    @property
    def network(self) -> Network:
        """Its network."""
        return Network(self.bridge, self.subnet, self.hosts)

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the machine has not been started anew since."""
        return self.boot == boot()

    def write(self, folder: Path) -> None:
        """Keep it in ``folder``; a reader sees all of it or the one before."""
        unfinished = folder / f"{_FILE}.unfinished"
        unfinished.write_text(self.model_dump_json(indent=1))
        unfinished.replace(folder / _FILE)


def read(folder: Path) -> State | None:
    """Return the cluster of ``folder``, or None if none was started there.

    Raises
    ------
    DeployError
        For a file that is none of ours.
    """
    path = folder / _FILE
    try:
        return State.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DeployError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def forget(folder: Path) -> None:
    """Remove what :meth:`State.write` has left."""
    (folder / _FILE).unlink(missing_ok=True)


def boot() -> str:
    """Return what names this start of the machine."""
    return _BOOT.read_text().strip()
