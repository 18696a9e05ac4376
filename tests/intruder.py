"""Another account of the same machine, which tries to get at a run while it trains."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from experiments.observer import Observer

#: ``nobody`` of every Linux.
STRANGER = 65534
_LISTENING = "0A"
_SECONDS = 3.0
#: Pages of Spark's master, workers, drivers, and of anything else over HTTP.
_PAGES = ("/", "/json/", "/environment/", "/api/v1/applications", "/metrics/json/", "/parameters")


@dataclass(frozen=True)
class Listener:
    """A TCP server of the run."""

    process: int
    #: Name of the program, from its command line.
    program: str
    port: int
    #: Whether the process is in the network of the intruder.
    shared: bool


@dataclass
class Intruder(Observer):
    """Attacks a run once, when its first epoch has begun or, where none is told, has ended."""

    #: Attacks that succeeded, one sentence each.
    got_in: list[str] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    #: Processes of the run that were looked at.
    processes: int = 0
    _before: set[int] = field(default_factory=set)

    def run_starts(self, *_: Any) -> None:
        """Remember the processes of others."""
        self._before = {process.pid for process in _children()}

    def event(self, event: dict[str, Any]) -> None:
        """Attack when training has begun."""
        if event["event"] in ("batch", "epoch") and not self.processes:
            self.attack([one for one in _children() if one.pid not in self._before])

    def attack(self, processes: Iterable[psutil.Process]) -> None:
        """Look as root for everything that there is, and try it as a stranger."""
        # One that has ended and waits for its parent has no memory that could be kept from anybody.
        alive = [one for one in processes if command_of(one)]
        self.processes = len(alive)
        self.listeners = [listener for one in alive for listener in listeners_of(one)]
        pids = [process.pid for process in alive]
        folders = _folders(alive)
        files = [str(path) for folder in folders for path in folder.rglob("*")]
        self.got_in += _secrets_in_sight(alive, folders)
        self.got_in += as_stranger(lambda: list(_attempts(pids, self.listeners, files)))


def command_of(process: psutil.Process) -> str:
    """Return the command line of ``process``, empty if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def listeners_of(process: psutil.Process) -> list[Listener]:
    """Return what ``process`` listens on, in whatever network namespace it is."""
    try:
        own = set(_open_files(process.pid))
        shared = _network(process.pid) == _network(os.getpid())
        sockets = list(_listening(process.pid))
    except OSError:  # it has just ended
        return []
    return [
        Listener(process.pid, command_of(process)[-80:], port, shared)
        for port, inode in sockets
        if f"socket:[{inode}]" in own
    ]


def _open_files(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed a moment ago
            yield str(path.readlink())


def _listening(pid: int | str) -> Iterator[tuple[int, str]]:
    """Yield port and inode of every TCP server in the network of ``pid``."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            if state == _LISTENING:
                yield int(address.rpartition(":")[2], 16), inode


def as_stranger(attempt: Callable[[], list[str]]) -> list[str]:
    """Return what ``attempt`` returns in a process of another account."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            answer = attempt()
        except BaseException as error:  # the parent's tests must not go on in this process
            answer = [f"the attack itself failed: {error!r}"]
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    return list(answer)


def _attempts(pids: list[int], listeners: list[Listener], files: list[str]) -> Iterator[str]:
    """Yield every success."""
    for pid in pids:
        for name in ("environ", "mem", "maps", "cwd/.", "root/.", "ns/net"):
            if _opens(Path(f"/proc/{pid}/{name}")):
                yield f"/proc/{pid}/{name} can be opened"
    yield from (f"{path} can be read" for path in files if _opens(Path(path)))
    taken = {port for port, _ in _listening("self")}
    for listener in listeners:
        if not listener.shared:
            # Another program may have the same port in the network outside.
            if listener.port not in taken and _connects(listener.port):
                yield f"{listener.program} (port {listener.port}) can be reached"
            continue
        for page in _PAGES:
            if text := _page(listener.port, page):
                yield f"{listener.program} (port {listener.port}) shows {page}: {text[:200]}"


def _secrets_in_sight(processes: list[psutil.Process], folders: set[Path]) -> Iterator[str]:
    """Yield where Spark's secret stands beside the files and environments that hold it."""
    found = {
        match[1]
        for folder in folders
        for path in folder.rglob("*.conf")
        for match in re.finditer(r"^spark\.authenticate\.secret (\S+)$", path.read_text(), re.M)
    }
    for process in processes:
        if any(secret in command_of(process) for secret in found):
            yield f"the secret stands on the command line of process {process.pid}"
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and path.suffix != ".conf":
            with suppress(OSError):
                content = path.read_bytes()
                if any(secret.encode() in content for secret in found):
                    yield f"the secret stands in {path}"


def _folders(processes: Iterable[psutil.Process]) -> set[Path]:
    """Return the temporary folders of the runs that ``processes`` belong to."""
    pattern = re.compile(r"(/\S*?/sparkdl-run-[^/\s]+)")
    found = set()
    for process in processes:
        found |= {Path(match) for match in pattern.findall(command_of(process))}
    return found


def _opens(path: Path) -> bool:
    try:
        if path.is_dir():
            next(iter(os.scandir(path)), None)
        else:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _connects(port: int) -> bool:
    addresses = {"127.0.0.1", "::1"}
    for ways in psutil.net_if_addrs().values():
        addresses |= {way.address for way in ways if way.family == socket.AF_INET}
    for address in addresses:
        with suppress(OSError), socket.create_connection((address, port), timeout=_SECONDS):
            return True
    return False


def _page(port: int, path: str) -> str:
    """Return the body that a web server gives for ``path``; empty if it gives none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            body = body or connection.recv(65536)
    except OSError:
        return ""
    return str(body, "latin-1") if re.match(rb"HTTP/\S+ 2", head) else ""


def _network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
