"""An archive of Spark's classes, which Java maps into memory instead of loading every class.

Each Java process of Spark otherwise spends half of its first seconds on reading and verifying the
same ten thousand classes. Java calls this application class-data sharing. An archive is valid for
one Java and one set of jars; Java ignores any other one.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from data.errors import DataError
from data.process_environment import for_spark

#: Folder of the archive, in the environment that contains Spark.
_FOLDER = Path(sys.prefix) / "share" / "sparkdl-bench"
#: Time limit in seconds of each of the two steps.
_LIMIT = 300


def options() -> str:
    """Return the Java options that use the archive; empty if there is none."""
    archive = path()
    if not archive.exists():
        return ""
    # Java must ignore an unsuitable file silently, because some callers read its output.
    return f"-XX:SharedArchiveFile={archive} -Xshare:auto -Xlog:disable"


def path() -> Path:
    """Return the path at which the archive for the installed Java and Spark is expected."""
    environment = for_spark()
    java, spark = Path(environment["JAVA_HOME"]), Path(environment["SPARK_HOME"])
    release = java / "release"
    parts = [str(java), str(spark), release.read_text() if release.exists() else ""]
    parts += [Path(__file__).read_text()]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return _FOLDER / f"classes-{digest[:12]}.jsa"


def make() -> Path:
    """Create the archive unless it exists, and return its path.

    A small Spark job is run to list the classes.

    Raises
    ------
    DataError
        If the folder cannot be written, or Java cannot create the archive.
    """
    archive = path()
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        # The other accounts that use this installation must be able to read the archive.
        archive.parent.chmod(0o755)
        with archive.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not archive.exists():
                _make(archive)
    except OSError as error:
        raise DataError(f"{archive.parent} cannot be written: {error.strerror}") from error
    return archive


def _make(archive: Path) -> None:
    environment = for_spark()
    home = environment["SPARK_HOME"]
    with tempfile.TemporaryDirectory(prefix="sparkdl-classes-") as name:
        classes, unfinished = Path(name) / "classes.lst", archive.with_suffix(".unfinished")
        listing = f"-XX:TieredStopAtLevel=1 -Xshare:off -XX:DumpLoadedClassList={classes}"
        _run([sys.executable, "-m", __name__, name], {**environment, "JDK_JAVA_OPTIONS": listing})
        dump = [f"{environment['JAVA_HOME']}/bin/java", "-Xshare:dump", "-XX:+UseSerialGC"]
        dump += [f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={unfinished}"]
        # The same class path as in Spark's own scripts: the archive is valid only for this path.
        dump += ["-Xlog:disable", "-cp", f"{home}/conf:{home}/jars/*"]
        _run(dump, environment)
        unfinished.chmod(0o644)
        unfinished.rename(archive)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, timeout=_LIMIT
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["Java gave no reason"])[-1]
        raise DataError(f"the archive of Spark's classes could not be created: {reason}")


def _job(folder: str) -> None:
    """Use the parts of Spark that runs use: tasks in Python, tables and Parquet."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    )
    session.sparkContext.parallelize(range(8), 2).map(lambda row: row + 1).sum()
    session.range(8).write.parquet(f"{folder}/table")
    session.read.parquet(f"{folder}/table").filter("id > 3").count()
    session.stop()


if __name__ == "__main__":
    os.environ.pop("PYSPARK_SUBMIT_ARGS", None)
    _job(sys.argv[1])
