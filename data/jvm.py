"""The Java process of a Spark driver: started and watched until Spark is up."""

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

_LOOK_SECONDS = 0.1
#: By which PySpark finds a Java process that runs already.
_PORT, _PASSWORD = "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"  # pragma: allowlist secret
_STANDARD_ERROR = 2


@contextmanager
def spark_jvm(
    conf: "SparkConf", environment: Mapping[str, str], *, idle: bool = False
) -> Iterator[None]:
    """Start the Java process of this process's Spark driver, and watch it for the time of a block.

    PySpark keeps the process for all its contexts, and starts none where one runs already. The
    block makes the context; it fails with the Java process's own words where that ends or hangs.

    Parameters
    ----------
    conf
        Settings of the driver, with which the process starts.
    environment
        Of the process.
    idle
        Whether Spark may wait for long in the block, as for machines of a cluster.

    Raises
    ------
    SparkStartError
        When the process ends or hangs before Spark is up.
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

    def look() -> None:
        while not (problems or over.wait(_LOOK_SECONDS)):
            if problem := watch.problem():
                problems.append(problem)
                end(process)

    watcher = threading.Thread(target=look, name="jvm-start", daemon=True)
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
    """Return Java's option for the folder of temporary files, as Spark's settings take options."""
    folder = re.sub(r'(["\\])', r"\\\1", tempfile.gettempdir())
    return f'"-Djava.io.tmpdir={folder}"'


def end(process: subprocess.Popen) -> None:
    """Kill ``process`` and what it has started: Spark's script starts a Java process of its own."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()


def _start(
    conf: "SparkConf", environment: Mapping[str, str]
) -> tuple[subprocess.Popen, StartWatch, int, str]:
    """Return a process that is up, with its port and the password of its port.

    Does what ``pyspark.java_gateway.launch_gateway`` does, which waits for a process without limit.
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
            stdin=subprocess.PIPE,  # the process ends when it is closed
            stdout=output,
            stderr=output,
            env={**environment, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(connection)},
            process_group=0,  # Ctrl-C is for Python, which ends the process in its own time
        )
        watch = StartWatch(process, read)
        with _ended_on_error(process):
            while not connection.exists():
                if problem := watch.problem():
                    raise SparkStartError(problem)
                time.sleep(_LOOK_SECONDS)
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
    """Return where a process writes, and what reads that.

    Into this process's own log, if it has one. A terminal shall not see Spark's log.
    """
    if stat.S_ISREG(os.fstat(_STANDARD_ERROR).st_mode):
        own = Path(f"/proc/self/fd/{_STANDARD_ERROR}")
        return _STANDARD_ERROR, reader(own, os.fstat(_STANDARD_ERROR).st_size)
    hidden = tempfile.TemporaryFile()  # noqa: SIM115  # for as long as it is read

    def read() -> str:
        size = os.fstat(hidden.fileno()).st_size
        return os.pread(hidden.fileno(), size, 0).decode(errors="replace")

    return hidden, read


def _gateway(process: subprocess.Popen, port: int, password: str) -> Any:
    """Return PySpark's line to a process that is up."""
    from pyspark.java_gateway import launch_gateway

    os.environ[_PORT], os.environ[_PASSWORD] = str(port), password
    try:
        gateway = launch_gateway()
    finally:
        del os.environ[_PORT], os.environ[_PASSWORD]
    gateway.proc = process
    return gateway
