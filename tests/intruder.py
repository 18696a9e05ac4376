"""Another account on the same machine, which attacks a run during training."""

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

#: User id of ``nobody`` on every Linux.
STRANGER = 65534
_LISTENING = "0A"
_SECONDS = 3.0
#: Web pages of Spark's master, workers and drivers, and the root page of any HTTP server.
_PAGES = ("/", "/json/", "/environment/", "/api/v1/applications", "/metrics/json/", "/parameters")


@dataclass(frozen=True)
class Listener:
    """A TCP server of the run."""

    process: int
    #: End of the program's command line.
    program: str
    port: int
    #: True if the process is in the network namespace of the intruder.
    shared: bool


@dataclass
class Intruder(Observer):
    """Attacks a run once: at its first batch or, without batch events, after its first epoch."""

    #: Attacks that succeeded, one sentence each.
    got_in: list[str] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    #: Number of processes of the run that were examined.
    processes: int = 0
    _before: set[int] = field(default_factory=set)

    def run_starts(self, *_: Any) -> None:
        """Store the ids of processes that do not belong to the run."""
        self._before = {process.pid for process in _children()}

    def event(self, event: dict[str, Any]) -> None:
        """Attack once training has started."""
        if event["event"] in ("batch", "epoch") and not self.processes:
            self.attack([one for one in _children() if one.pid not in self._before])

    def attack(self, processes: Iterable[psutil.Process]) -> None:
        """Find all possible targets as root, then attack them from another account."""
        # A zombie process has no memory to protect.
        alive = [one for one in processes if command_of(one)]
        self.processes = len(alive)
        self.listeners = [listener for one in alive for listener in listeners_of(one)]
        pids = [process.pid for process in alive]
        folders = _folders(alive)
        files = [str(path) for folder in folders for path in folder.rglob("*")]
        self.got_in += _secrets_in_sight(alive, folders)
        self.got_in += as_stranger(lambda: list(_attempts(pids, self.listeners, files)))


def command_of(process: psutil.Process) -> str:
    """Return the command line of ``process``; empty if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def listeners_of(process: psutil.Process) -> list[Listener]:
    """Return the TCP servers of ``process``, in any network namespace."""
    try:
        own = set(_open_files(process.pid))
        shared = _network(process.pid) == _network(os.getpid())
        sockets = list(_listening(process.pid))
    except OSError:  # the process has just ended
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
    """Run ``attempt`` in a process of another account and return its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            answer = attempt()
        except BaseException as error:  # this process must not continue with the parent's tests
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
    """Yield a description of every successful attack."""
    for pid in pids:
        for name in ("environ", "mem", "maps", "cwd/.", "root/.", "ns/net"):
            if _opens(Path(f"/proc/{pid}/{name}")):
                yield f"/proc/{pid}/{name} can be opened"
    yield from (f"{path} can be read" for path in files if _opens(Path(path)))
    taken = {port for port, _ in _listening("self")}
    for listener in listeners:
        if not listener.shared:
            # Another program may use the same port in the network outside.
            if listener.port not in taken and _connects(listener.port):
                yield f"{listener.program} (port {listener.port}) can be reached"
            continue
        for page in _PAGES:
            if text := _page(listener.port, page):
                yield f"{listener.program} (port {listener.port}) shows {page}: {text[:200]}"


def _secrets_in_sight(processes: list[psutil.Process], folders: set[Path]) -> Iterator[str]:
    """Yield the places with Spark's secret other than configuration files and environments."""
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
    """Return the body of a web server's response for ``path``; empty if there is none."""
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
