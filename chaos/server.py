"""An MLflow server that can be stopped and restarted."""

import os
import subprocess
import sys
import time
from pathlib import Path

from backends.ports import LOOPBACK, free_port
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.tracking.recorder import check_reachable

#: Seconds within which the server must answer; on a busy machine it takes half a minute.
_START_LIMIT = 120.0


class Server:
    """Serves the records in ``folder`` on loopback."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = free_port()
        self.uri = f"http://{LOOPBACK}:{self._port}"
        #: Address of the same records without the server.
        self.store = store_of(folder)
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the server without waiting until it answers; see :meth:`wait`."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK]
        command += ["--port", str(self._port), "--workers", "1"]
        command += ["--backend-store-uri", self.store]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        self._process = start(command, self._folder / "server.log", os.environ)

    def wait(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        ExperimentError
            If the server does not answer within two minutes.
        """
        deadline = time.monotonic() + _START_LIMIT
        while True:
            try:
                check_reachable(self.uri)
            except ExperimentError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def end(self) -> None:
        """Stop the server if it is running."""
        if self._process is not None:
            stop([self._process])
            self._process = None


def store_of(folder: Path) -> str:
    """Return the address of the records of a server in ``folder``."""
    return f"sqlite:///{folder.absolute()}/records.db"
