"""The driver of a job on EMR Serverless: runs ``run_experiment.py`` and puts the record into S3.

AWS starts this file with ``spark-submit``; beside it lie the environment and the code, unpacked.
The runner trains in a process of its own. It is told how to reach this driver's JVM, so that the
session it makes is this job's, on the master that AWS chose (``experiments.session``).
"""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

CODE = Path("code")
#: By which PySpark finds the JVM that ``spark-submit`` started, and the executors' Python.
_OF_THE_DRIVER = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_PYTHON")


def main(record: str, options: list[str]) -> int:
    """Run; return the exit status of the run.

    Parameters
    ----------
    record
        ``s3://`` address that the record's files go below.
    options
        Of ``run_experiment.py``, without a master.
    """
    folder = Path("record")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-u", str(CODE.absolute() / "run_experiment.py"), *options]
    command += ["--master", master()]
    console = folder / "console.log"
    with (folder / "records.jsonl").open("wb") as records, console.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=records, stderr=subprocess.PIPE, env=runner_environment()
        )
        assert process.stderr is not None
        for line in process.stderr:  # shown live and kept
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            log.write(line)
        status = process.wait()
    upload(folder, record)
    return status


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
    """Put every file of ``folder`` below ``address``."""
    import boto3

    parts = urlsplit(address)
    client = boto3.client("s3")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), parts.netloc, f"{parts.path.lstrip('/')}/{path.name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
