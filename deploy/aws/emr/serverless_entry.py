"""Driver of a job on EMR Serverless: runs ``run_experiment.py`` and uploads the record to S3.

AWS starts this file with ``spark-submit``, next to the unpacked environment and code. The runner
trains in a separate process, which receives the address of this driver's JVM, so that its session
belongs to this job and uses the master that AWS chose (``experiments.spark.session``).

AWS stops a job at its time limit or when it is cancelled, without time to save anything. Therefore
the run has an earlier limit of its own, and the record so far is uploaded about every minute.
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
#: Folder of pending records whose MLflow server was unreachable (``experiments send``), and the
#: name of its archive.
OUTBOX, OUTBOX_ARCHIVE = Path("work/outbox"), "outbox.tar.gz"
#: Seconds between two uploads of the record.
KEEP_SECONDS = 60.0
#: Seconds between TERM and KILL, in which the runner closes its records.
GRACE_SECONDS = 120.0
#: Variables by which PySpark finds the JVM of ``spark-submit`` and the executors' Python.
_OF_THE_DRIVER = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_PYTHON")


def main(record: str, seconds: float, options: list[str]) -> int:
    """Run the experiment, upload its record and return the exit status of the run.

    Parameters
    ----------
    record
        ``s3://`` address below which the record's files are uploaded.
    seconds
        Time limit of the run, a few minutes shorter than AWS's.
    options
        Options of ``run_experiment.py`` without ``--master``.
    """
    folder = Path("record")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-u", str(CODE.absolute() / "run_experiment.py"), *options]
    command += ["--master", master()]
    with kept(folder, record):
        return run(command, folder, seconds)


def run(command: list[str], folder: Path, seconds: float) -> int:
    """Run ``command`` for at most ``seconds``; write its output to ``folder``."""
    console = folder / "console.log"
    with (folder / "records.jsonl").open("wb") as records, console.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=records, stderr=subprocess.PIPE, env=runner_environment()
        )
        copier = threading.Thread(target=_copy_output, args=(process.stderr, log), daemon=True)
        copier.start()
        try:
            status = _wait(process, seconds)
        finally:
            process.kill()
            # Children of the process may keep the pipe open.
            copier.join(timeout=GRACE_SECONDS)
        if status is None:
            line = f"stopped at the limit of {seconds:g} s (--max-hours)\n".encode()
            log.write(line)
            sys.stderr.buffer.write(line)
            return 124  # the status of timeout(1), which limits a run on a cluster
        return status


@contextlib.contextmanager
def kept(folder: Path, address: str) -> Iterator[None]:
    """Upload the files of ``folder`` to ``address`` periodically, and always at the end."""
    over = threading.Event()

    def upload_periodically() -> None:
        while not over.wait(KEEP_SECONDS):
            with contextlib.suppress(Exception):  # retried next time, or at the end
                upload(folder, address)

    uploader = threading.Thread(target=upload_periodically, daemon=True)
    uploader.start()
    try:
        yield
    finally:
        over.set()
        uploader.join()  # an upload in progress must not overwrite the final one
        upload(folder, address)


def runner_environment() -> dict[str, str]:
    """Return an environment in which only the training process connects to this driver's JVM.

    The data are prepared before by a separate local Spark. Both processes use the PySpark of the
    packed environment: without PYTHONPATH, Spark's own zip is not imported.
    """
    hidden = {*_OF_THE_DRIVER, "PYTHONPATH", "SPARK_HOME", "PYSPARK_SUBMIT_ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    passed = {f"SPARKDL_{name}": os.environ[name] for name in _OF_THE_DRIVER if name in os.environ}
    return environment | passed


def master() -> str:
    """Return the Spark URL that this driver was started with."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()  # connects to the JVM that has the settings
    found = SparkConf().get("spark.master")
    assert found, "spark-submit sets spark.master for every driver"
    return found


def upload(folder: Path, address: str) -> None:
    """Upload every file of ``folder``, and the pending records, to ``address``."""
    import boto3

    if OUTBOX.is_dir() and any(OUTBOX.iterdir()):
        with tarfile.open(folder / OUTBOX_ARCHIVE, "w:gz") as archive:
            archive.add(OUTBOX, OUTBOX.name)
    parts = urlsplit(address)
    client = boto3.client("s3")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), parts.netloc, f"{parts.path.lstrip('/')}/{path.name}")


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Return the exit status, or None if the process had to be terminated."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    return None


def _copy_output(lines: BinaryIO, log: BinaryIO) -> None:
    """Copy the output of the run to stderr and the log as it arrives."""
    for line in lines:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        log.write(line)
        log.flush()  # for the periodic uploads


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
