"""docker-compose.yml without an engine: its services as processes on this machine.

Commands, variables, configuration files, ports and health checks come from the file itself. A
separate network namespace provides its ports and host names, a mount namespace its paths below
``/srv``. Two services are replaced: PostgreSQL by the machine's own installation, the object store
by moto's server, which does not check keys.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest

from deploy import secret_file
from experiments.processes.children import start, stop

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
#: Settings in a ``.env`` file in addition to its passwords.
SETTINGS = {"WORKERS": "3", "WORKER_MEMORY": "2g"}
#: Timeout in seconds for a service to become healthy.
LIMIT = 180
_HOLDER = """
set -e
ip link set lo up
mount --bind "$1" /etc/hosts
mount --bind "$2" /srv
echo ready
exec sleep infinity
"""


@dataclass
class Stack:
    """The running services."""

    services: dict[str, Any]
    configs: dict[str, str]
    folder: Path
    namespace: int
    processes: list[subprocess.Popen] = field(default_factory=list)
    #: Files below ``folder`` that are expected to contain passwords.
    given: set[str] = field(default_factory=lambda: {"srv/word"})

    def command_of(self, name: str, arguments: Sequence[str] | None = None) -> list[str]:
        """Return the command that the container of ``name`` would run."""
        service = self.services[name]
        command = service.get("command") if arguments is None else arguments
        return [*(service.get("entrypoint") or []), *(command or [])]

    def environment_of(self, name: str) -> dict[str, str]:
        """Return the environment variables of the container of ``name``."""
        return {
            **os.environ,
            **image_environment(),
            **self.services[name].get("environment", {}),
            "PATH": f"{TOOLS}:{postgres_programs()}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs ``command`` in the namespaces."""
        enter = ["nsenter", f"--target={self.namespace}", "--net", "--mount", f"--wd={ROOT}"]
        return [*enter, "--", *command]

    def prepare(self, name: str) -> None:
        """Write the configuration files of a service."""
        for config in self.services[name].get("configs", ()):
            place = config["target"].removeprefix("/")
            path = self.folder / place
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.configs[config["source"]])
            self.given.add(place)

    def start(self, name: str, command: Sequence[str] | None = None) -> Path:
        """Start a service and return its log."""
        self.prepare(name)
        log = self.folder / f"{name}-{len(self.processes)}.log"
        full = self.inside(command or self.command_of(name))
        self.processes.append(start(full, log, self.environment_of(name)))
        return log

    def run(
        self, name: str, command: Sequence[str], *, limit: float = 600
    ) -> subprocess.CompletedProcess:
        """Run ``command`` in place of a service and wait for it."""
        return subprocess.run(
            self.inside(command),
            env=self.environment_of(name),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def wait_healthy(self, name: str) -> None:
        """Wait until the service's own health check passes."""
        check = self.services[name]["healthcheck"]["test"][1:]
        deadline = time.monotonic() + LIMIT
        while (done := self.run(name, check)).returncode:
            assert time.monotonic() < deadline, f"{name}: {done.stderr}\n{self.logs()}"
            time.sleep(0.5)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}"
            for log in sorted(self.folder.glob("*.log"))
        )

    def start_postgres(self, password: str) -> None:
        """Start the machine's PostgreSQL with the user, database and password of the image."""
        programs = postgres_programs()
        data = self.folder / "srv" / "record"
        data.mkdir()
        shutil.chown(data, "postgres", "postgres")
        word = self.folder / "srv" / "word"
        word.write_text(password)
        variables = self.services["postgres"]["environment"]
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        initdb = [f"{programs}/initdb", "--pgdata=/srv/record", "--pwfile=/srv/word"]
        initdb += [f"--username={variables['POSTGRES_USER']}", "--auth-local=scram-sha-256"]
        initdb += [variables["POSTGRES_INITDB_ARGS"], "--no-sync"]
        done = self.run("postgres", [*as_postgres, *initdb])
        assert done.returncode == 0, done.stderr
        server = [f"{programs}/postgres", "-D", "/srv/record", "-c", "listen_addresses=*"]
        server += ["-c", "unix_socket_directories=/srv/record", "-c", "fsync=off"]
        self.start("postgres", [*as_postgres, *server])
        self.wait_healthy("postgres")
        create = f"createdb --host=postgres --username=mlflow {variables['POSTGRES_DB']}"
        done = self.run("postgres", ["env", f"PGPASSWORD={password}", *create.split()])
        assert done.returncode == 0, done.stderr

    def start_store(self) -> None:
        """Start moto's server at the address of the store's gateway."""
        port = self.services["s3"]["environment"]["VGW_PORT"].removeprefix(":")
        self.start("s3", [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", port])
        deadline = time.monotonic() + LIMIT
        probe = ["python", "-m", "deploy.health", f"http://s3:{port}/moto-api/"]
        while self.run("bucket", probe).returncode:
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.5)


@contextmanager
def stack(compose: dict[str, Any], folder: Path) -> Iterator[Stack]:
    """Create the namespaces; stop all processes in them at the end."""
    srv = folder / "srv"
    for name in ("events", "work"):
        (srv / name).mkdir(parents=True)
    srv.chmod(0o755)
    hosts = folder / "hosts"
    names = " ".join(["localhost", gethostname(), *compose["services"]])
    hosts.write_text(f"127.0.0.1 {names}\n")
    log = folder / "namespace.log"
    unshare = ["unshare", "--net", "--mount", "sh", "-c", _HOLDER, "sh", str(hosts), str(srv)]
    holder = start(unshare, log, os.environ)
    try:
        deadline = time.monotonic() + 10
        while "ready" not in log.read_text():
            assert holder.poll() is None, f"no namespaces here: {log.read_text()}"
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        configs = {name: one["content"] for name, one in compose["configs"].items()}
        running = Stack(compose["services"], configs, folder, holder.pid)
        try:
            yield running
        finally:
            stop(running.processes)
    finally:
        stop([holder])


def image_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets, with this environment's prefix."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    pairs = re.search(r"^ENV (.*)$", text, re.M)
    assert pairs
    values = dict(pair.split("=", 1) for pair in pairs[1].split())
    return {name: value.replace("/opt/sparkdl", sys.prefix) for name, value in values.items()}


def postgres_programs() -> Path:
    """Return the folder of the newest PostgreSQL server of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    assert found, "PostgreSQL's server is needed: apt-get install postgresql"
    return found[-1].parent


def passwords_of(path: Path) -> dict[str, str]:
    """Return the secret variables of a ``.env`` file."""
    known = dict(line.split("=", 1) for line in path.read_text().splitlines())
    return {name: value for name, value in known.items() if name not in SETTINGS}


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``.env`` as ``sparkdl-bench deploy env`` writes it."""
    path = tmp_path_factory.mktemp("compose") / ".env"
    secret_file.write(path, SETTINGS)
    return path


@pytest.fixture(scope="module")
def compose(passwords: Path) -> dict[str, Any]:
    """docker-compose.yml as parsed by Compose."""
    command = [str(TOOLS / "docker-compose"), "--env-file", str(passwords)]
    command += ["--profile", "run", "--profile", "serve"]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    return json.loads(done.stdout)
