"""Start of a Spark driver's Java process, which is monitored until Spark is up."""

import os
import re
import shlex
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from data.errors import SparkStartError
from data.jvm_start import StartWatch, reader
from data.own_folders import temporary_folder

if TYPE_CHECKING:
    from pyspark import SparkConf

_POLL_SECONDS = 0.1
#: Environment variables through which PySpark connects to a running Java process.
_PORT, _PASSWORD = "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"  # pragma: allowlist secret
_STANDARD_ERROR = 2


@contextmanager
def spark_jvm(
    conf: "SparkConf", environment: Mapping[str, str], *, idle: bool = False
) -> Iterator[None]:
    """Start the Java process of the Spark driver and monitor it during the block.

    PySpark keeps the process for all its contexts, so nothing is started if one is running already.
    The block must create the context. If the Java process ends or hangs, the block fails with the
    message of the Java process.

    Parameters
    ----------
    conf
        Settings of the driver with which the process is started.
    environment
        Environment variables of the process.
    idle
        True if Spark may legitimately wait for a long time in the block, for example for machines
        of a cluster; the process is then not monitored during the block.

    Raises
    ------
    SparkStartError
        If the process ends or hangs before Spark is up.
    """
    from pyspark import SparkContext

    if SparkContext._gateway is not None or _PORT in os.environ:
        yield
        return
    process, watch, port, password = _start(conf, environment)
    SparkContext._ensure_initialized(gateway=_gateway(process, port, password))
    if idle:
        yield
        return
    problems: list[str] = []
    over = threading.Event()

    def poll() -> None:
        while not (problems or over.wait(_POLL_SECONDS)):
            if problem := watch.problem():
                problems.append(problem)
                end(process)

    watcher = threading.Thread(target=poll, name="jvm-start", daemon=True)
    watcher.start()
    try:
        yield
    except Exception as error:
        over.set()
        watcher.join()
        ended = process.poll() is not None and watch.problem()
        if problem := next(iter(problems), ended):
            raise SparkStartError(problem) from error
        raise
    finally:
        over.set()


def temporary_option() -> str:
    """Return Java's option for the temporary folder, quoted for Spark's settings."""
    folder = re.sub(r'(["\\])', r"\\\1", tempfile.gettempdir())
    return f'"-Djava.io.tmpdir={folder}"'


def end(process: subprocess.Popen) -> None:
    """Kill ``process`` and its descendants: Spark's script starts a separate Java process."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()


def _start(
    conf: "SparkConf", environment: Mapping[str, str]
) -> tuple[subprocess.Popen, StartWatch, int, str]:
    """Start the process; return it with its monitor, its port and the port's password.

    This replaces ``pyspark.java_gateway.launch_gateway``, which waits without limit.
    """
    from pyspark.serializers import UTF8Deserializer, read_int

    command = [f"{environment['SPARK_HOME']}/bin/spark-submit"]
    for key, value in conf.getAll():
        command += ["--conf", f"{key}={value}"]
    command += shlex.split(environment.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell"))
    with temporary_folder("jvm") as folder:
        connection = folder / "connection"
        output, read = _output()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the process exits when its standard input is closed
            stdout=output,
            stderr=output,
            env={**environment, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(connection)},
            process_group=0,  # Ctrl-C must reach Python only, which then stops the process
        )
        watch = StartWatch(process, read)
        with _ended_on_error(process):
            while not connection.exists():
                if problem := watch.problem():
                    raise SparkStartError(problem)
                time.sleep(_POLL_SECONDS)
        with connection.open("rb") as file:
            return process, watch, read_int(file), UTF8Deserializer().loads(file)


@contextmanager
def _ended_on_error(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    except BaseException:
        end(process)
        raise


def _output() -> "tuple[int | IO[bytes], Callable[[], str]]":
    """Return the output of the process, and a function that reads what was written to it.

    The output is the log file of this process if standard error is a file. Otherwise it is a
    temporary file, so that Spark's log does not appear in a terminal.
    """
    if stat.S_ISREG(os.fstat(_STANDARD_ERROR).st_mode):
        own = Path(f"/proc/self/fd/{_STANDARD_ERROR}")
        return _STANDARD_ERROR, reader(own, os.fstat(_STANDARD_ERROR).st_size)
    hidden = tempfile.TemporaryFile()  # noqa: SIM115  # stays open as long as it is read

    def read() -> str:
        size = os.fstat(hidden.fileno()).st_size
        return os.pread(hidden.fileno(), size, 0).decode(errors="replace")

    return hidden, read


def _gateway(process: subprocess.Popen, port: int, password: str) -> Any:
    """Return PySpark's gateway to a running process."""
    from pyspark.java_gateway import launch_gateway

    os.environ[_PORT], os.environ[_PASSWORD] = str(port), password
    try:
        gateway = launch_gateway()
    finally:
        del os.environ[_PORT], os.environ[_PASSWORD]
    gateway.proc = process
    return gateway
