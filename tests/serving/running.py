"""A service as a process of its own, as users start it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Seconds for a service to become ready on a busy machine.
LIMIT = 120


@dataclass
class Response:
    """Answer of a service."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Return the body as a document."""
        return json.loads(self.body)


@dataclass
class Running:
    """A service that runs."""

    process: subprocess.Popen
    url: str
    log: Path
    #: Output of the service other than its address.
    lines: list[str] = field(default_factory=list)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET request."""
        return _send(urllib.request.Request(self.url + path, headers=dict(headers or {})))

    def post(
        self,
        path: str,
        body: bytes,
        media_type: str = "application/x-image",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a POST request."""
        all_headers = {"Content-Type": media_type, **(headers or {})}
        request = urllib.request.Request(self.url + path, body, all_headers, method="POST")
        return _send(request)

    def post_files(
        self, path: str, files: Sequence[tuple[str, bytes]], field: str = "images", **fields: str
    ) -> Response:
        """Send a form with files."""
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + content
            + b"\r\n"
            for name, content in files
        ]
        parts += [
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        body = b"".join([*parts, b"--x--\r\n"])
        return self.post(path, body, "multipart/form-data; boundary=x")

    def metric(self, name: str) -> float:
        """Return a sample of the metrics; 0 if there is none."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.rpartition(" ")[0] == name:
                return float(line.rpartition(" ")[2])
        return 0.0

    def logged(self) -> list[dict[str, Any]]:
        """Return the lines of the log, all of which are JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_ready(self) -> None:
        """Wait until the service is ready."""
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                if self.get("/readyz").status == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)


@contextmanager
def running(
    folder: Path,
    *options: str | Path,
    command: Sequence[str] = (sys.executable, "-m", "serving.service"),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a service on a free port until the end of the context.

    Parameters
    ----------
    folder
        For the log.
    options
        Arguments of the command, in addition to the port.
    command
        Program.
    environment
        Additional environment variables.
    """
    log = folder / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *map(str, options), "--port", "0", "--drain-seconds", "0.5"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        url = next(word for word in line.split() if word.startswith("http://"))
        service = Running(process, url.replace("0.0.0.0", "127.0.0.1"), log, [line])
        service.wait_ready()
        yield service
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _send(request: urllib.request.Request) -> Response:
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return Response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.headers, error.read())
