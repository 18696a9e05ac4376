"""An archive of Spark's classes that the Java processes of tests map instead of loading them.

A test run starts hundreds of Java processes, and each spends half its first seconds on reading and
checking the same ten thousand classes. Java calls this application class-data sharing.
"""

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from data.process_environment import for_spark

#: Only the compiler's first tier, because these processes live for seconds.
_QUICK = "-XX:TieredStopAtLevel=1"
_LIMIT = 300


def java_options(*, make: bool) -> str:
    """Return options for the Java processes of a test run; with ``make``, create a missing file.

    Java ignores the file if it belongs to another version of Java or to other jars.
    """
    archive = _path()
    if make:
        with archive.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not archive.exists():
                _make(archive)
    if not archive.exists():
        return _QUICK
    # Java must ignore an unsuitable file silently: some tests read its output.
    return f"{_QUICK} -XX:SharedArchiveFile={archive} -Xshare:auto -Xlog:disable"


def _path() -> Path:
    environment = for_spark()
    made_of = [environment["JAVA_HOME"], environment["SPARK_HOME"], Path(__file__).read_text()]
    release = Path(environment["JAVA_HOME"]) / "release"
    made_of.append(release.read_text() if release.exists() else "")
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"sparkdl-classes-{digest[:12]}.jsa"


def _make(archive: Path) -> None:
    """List the classes that a small job loads and write them to ``archive``."""
    environment = for_spark()
    home = environment["SPARK_HOME"]
    with tempfile.TemporaryDirectory(prefix="sparkdl-classes-") as name:
        classes, unfinished = Path(name) / "classes.lst", Path(name) / "classes.jsa"
        listing = f"{_QUICK} -Xshare:off -XX:DumpLoadedClassList={classes}"
        subprocess.run(
            [sys.executable, "-m", "tests.spark_classes", name],
            cwd=Path(__file__).parents[1],
            env={**environment, "JDK_JAVA_OPTIONS": listing},
            check=True,
            capture_output=True,
            timeout=_LIMIT,
        )
        dump = [f"{environment['JAVA_HOME']}/bin/java", "-Xshare:dump", "-XX:+UseSerialGC"]
        dump += [f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={unfinished}"]
        # The same class path as in Spark's own scripts: the file is valid only for this path.
        dump += ["-Xlog:disable", "-cp", f"{home}/conf:{home}/jars/*"]
        subprocess.run(dump, check=True, capture_output=True, timeout=_LIMIT)
        unfinished.rename(archive)


def _job(folder: str) -> None:
    """Use the parts of Spark that tests use: tasks in Python, tables and Parquet."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    )
    assert session.sparkContext.parallelize(range(8), 2).map(lambda row: row + 1).sum() == 36
    session.range(8).write.parquet(f"{folder}/table")
    assert session.read.parquet(f"{folder}/table").filter("id > 3").count() == 4
    session.stop()


if __name__ == "__main__":
    _job(sys.argv[1])
