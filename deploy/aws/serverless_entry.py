"""The driver of a job on EMR Serverless: runs ``run_experiment.py`` and puts the record into S3.

AWS starts this file with ``spark-submit``; beside it lie the environment and the code, unpacked.
The runner trains in a process of its own. It is told how to reach this driver's JVM, so that the
session it makes is this job's, on the master that AWS chose (``experiments.spark.session``).

AWS ends a job at its time limit, and one that is cancelled, without letting it keep anything: so
the run has a limit of its own before, and what there is of the record is kept about every minute.
"""

import contextlib
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

CODE = Path("code")
#: Records whose MLflow server was away (``experiments send``), and how they travel.
OUTBOX, OUTBOX_ARCHIVE = Path("work/outbox"), "outbox.tar.gz"
#: Seconds between two copies of the record.
KEEP_SECONDS = 60.0
#: Seconds for the runner to close its records after TERM, before KILL.
GRACE_SECONDS = 120.0
#: By which PySpark finds the JVM that ``spark-submit`` started, and the executors' Python.
_OF_THE_DRIVER = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_PYTHON")


def main(record: str, seconds: float, options: list[str]) -> int:
    """Run; return the exit status of the run.

    Parameters
    ----------
    record
        ``s3://`` address that the record's files go below.
    seconds
        Limit of the run, a few minutes below AWS's.
    options
        Of ``run_experiment.py``, without a master.
    """
    folder = Path("record")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-u", str(CODE.absolute() / "run_experiment.py"), *options]
    command += ["--master", master()]
    with kept(folder, record):
        return run(command, folder, seconds)


def run(command: list[str], folder: Path, seconds: float) -> int:
    """Run ``command`` for at most ``seconds``; leave what it says in ``folder``."""
    console = folder / "console.log"
    with (folder / "records.jsonl").open("wb") as records, console.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=records, stderr=subprocess.PIPE, env=runner_environment()
        )
        teller = threading.Thread(target=_tell, args=(process.stderr, log), daemon=True)
        teller.start()
        try:
            status = _wait(process, seconds)
        finally:
            process.kill()
            # Its own children may hold the pipe open.
            teller.join(timeout=GRACE_SECONDS)
        if status is None:
            line = f"ended at the limit of {seconds:g} s (--max-hours)\n".encode()
            log.write(line)
            sys.stderr.buffer.write(line)
            return 124  # as of timeout(1), which limits a run on a cluster
        return status


@contextlib.contextmanager
def kept(folder: Path, address: str) -> Iterator[None]:
    """Put what is in ``folder`` below ``address`` from time to time, and in any case at the end."""
    over = threading.Event()

    def keep_now_and_then() -> None:
        while not over.wait(KEEP_SECONDS):
            with contextlib.suppress(Exception):  # the next time, or at the end
                upload(folder, address)

    keeper = threading.Thread(target=keep_now_and_then, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()  # it must not overwrite the last copy
        upload(folder, address)


def runner_environment() -> dict[str, str]:
    """Return the environment in which only the process that trains joins this driver's JVM.

    The data are prepared by a Spark of its own before, on this machine. That one is PySpark's of
    the environment, and so is the one that trains: without PYTHONPATH it is not Spark's zip.
    """
    hidden = {*_OF_THE_DRIVER, "PYTHONPATH", "SPARK_HOME", "PYSPARK_SUBMIT_ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    told = {f"SPARKDL_{name}": os.environ[name] for name in _OF_THE_DRIVER if name in os.environ}
    return environment | told


def master() -> str:
    """Return the Spark URL that this driver was started with."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()  # joins the JVM whose settings these are
    found = SparkConf().get("spark.master")
    assert found, "spark-submit gives every driver a master"
    return found


def upload(folder: Path, address: str) -> None:
    """Put every file of ``folder``, and the records that wait, below ``address``."""
    import boto3

    if OUTBOX.is_dir() and any(OUTBOX.iterdir()):
        with tarfile.open(folder / OUTBOX_ARCHIVE, "w:gz") as archive:
            archive.add(OUTBOX, OUTBOX.name)
    parts = urlsplit(address)
    client = boto3.client("s3")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), parts.netloc, f"{parts.path.lstrip('/')}/{path.name}")


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Return the exit status, or None of one that had to be ended."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    return None


def _tell(lines: BinaryIO, log: BinaryIO) -> None:
    """Show what the run says, live, and keep it."""
    for line in lines:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        log.write(line)
        log.flush()  # for the copies on the way


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
