"""Servers of one model as processes: this project's service and that of MLflow."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from data.process_environment import for_children
from data.project import ROOT
from experiments.errors import ExperimentError

#: Seconds for a server to become ready.
_LIMIT = 180.0


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    url: str
    process: psutil.Process
    #: Seconds from the start of its process until it was ready, and CPU seconds used until then.
    ready_seconds: float
    ready_cpu_seconds: float

    def memory(self) -> int:
        """Return the proportional set size of the process and its children, in bytes."""
        return sum(one.memory_full_info().pss for one in _tree(self.process))

    def anonymous_memory(self) -> int:
        """Return the part of `memory` that is not mapped from files, in bytes.

        The rest also changes when other processes map the same libraries.
        """
        return sum(_anonymous(one.pid) for one in _tree(self.process))


@contextmanager
def own_service(model: Path, log: Path, *options: str) -> Iterator[Server]:
    """Run ``sparkdl-bench serve`` for the folder of a model."""
    port = _free_port()
    command = [sys.executable, "-m", "sparkdl_bench", "serve", str(model), "--port", str(port)]
    with _started([*command, *options], port, "/readyz", log) as server:
        yield server


@contextmanager
def mlflow_service(model: Path, log: Path) -> Iterator[Server]:
    """Run ``mlflow models serve`` for the folder of a model, in this environment."""
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with _started(command, port, "/ping", log) as server:
        yield server


@contextmanager
def _started(command: Sequence[str], port: int, path: str, log: Path) -> Iterator[Server]:
    # MLflow finds uvicorn by its name.
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    began = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**for_children(here=True), "PATH": programs},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not _answers(url + path):
            if child.poll() is not None or time.perf_counter() - began > _LIMIT:
                raise ExperimentError(
                    f"{' '.join(command[2:5])} did not start:\n{log.read_text()[-2000:]}"
                )
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process = psutil.Process(child.pid)
        cpu = sum(sum(one.cpu_times()[:2]) for one in _tree(process))
        yield Server(url, process, seconds, cpu)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _anonymous(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.M)
    return int(found[1]) * 1024 if found else 0


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
