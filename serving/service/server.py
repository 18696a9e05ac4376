"""The server: one process, or several that share a port."""

import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from typing import Any

from serving.errors import ServingError
from serving.service.settings import Settings

#: Variable in which the processes of a service find their settings, as JSON.
SETTINGS = "SPARKDL_SERVICE_SETTINGS"
LOG_LEVEL = "SPARKDL_SERVICE_LOG_LEVEL"
#: Exit status of a process whose model cannot be loaded; uvicorn starts no other in its place.
LOAD_FAILED = 3
#: Connections that the kernel holds until they are accepted.
_BACKLOG = 2048
#: Largest size of the head of a request, in bytes.
_HEAD_BYTES = 2**16
#: Seconds for requests in progress to finish after the end of the draining.
_FINISH_SECONDS = 25


def serve(
    settings: Settings, *, host: str, port: int, workers: int = 1, log_level: str = "info"
) -> int:
    """Run the service until it is terminated, and return the exit status.

    Parameters
    ----------
    settings
        Settings of every process.
    host, port
        Address; port 0 selects a free port.
    workers
        Number of processes.
    log_level
        As for `serving.service.logs.configure`.

    Raises
    ------
    ServingError
        If the address cannot be used.
    """
    listening = _listen(host, port)
    _announce(settings, listening)
    os.environ[SETTINGS] = settings.model_dump_json()
    os.environ[LOG_LEVEL] = log_level
    if workers == 1:
        return _run_here(settings, listening)
    return _run_processes(settings, listening, workers)


def from_environment() -> Any:
    """Return the application of one of several processes."""
    from serving.service.app import create_app
    from serving.service.logs import configure

    configure(os.environ.get(LOG_LEVEL, "info"))
    _raise_file_limit()
    return create_app(Settings.model_validate_json(os.environ[SETTINGS]))


def _run_here(settings: Settings, listening: socket.socket) -> int:
    import uvicorn

    config = _config(settings, from_environment, 1)
    try:
        uvicorn.Server(config).run([listening])
    except (SystemExit, KeyboardInterrupt) as ended:
        # uvicorn raises the signal again after an orderly end.
        if isinstance(ended, SystemExit) and ended.code != 128 + signal.SIGTERM:
            return ended.code if isinstance(ended.code, int) else 1
    return 0


def _run_processes(settings: Settings, listening: socket.socket, workers: int) -> int:
    from uvicorn.supervisors import Multiprocess

    from serving.service.logs import configure

    configure(os.environ[LOG_LEVEL])
    folder = tempfile.mkdtemp(prefix="sparkdl-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    try:
        config = _config(settings, f"{__name__}:from_environment", workers)
        supervisor = Multiprocess(config, [listening])
        supervisor.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(process.exitcode == LOAD_FAILED for process in supervisor.processes))


def _config(settings: Settings, app: Any, workers: int) -> Any:
    from uvicorn import Config

    from serving.service.protocol import BoundedProtocol

    limits = settings.limits
    return Config(
        app,
        factory=True,
        workers=workers,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only for sockets that state their protocol; with it, the
    # second packet of an answer would wait 40 ms for the client's acknowledgment of the first.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ServingError(
            f"{host}:{port} cannot be used ({error.strerror}): choose another --port or --host"
        ) from error
    listening.set_inheritable(True)
    return listening


def _announce(settings: Settings, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    what = f"the endpoint {settings.endpoint}" if settings.endpoint else _title(settings)
    sys.stdout.write(f"serving {what} on http://{shown}:{port} (Ctrl-C ends it)\n")
    sys.stdout.flush()


def _title(settings: Settings) -> str:
    source = settings.source
    if source.name:
        return f"{source.name} version {source.version}" if source.version else source.name
    return str(source.folder)


def _raise_file_limit() -> None:
    """Allow as many open files as the system permits: every connection needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
