"""What a run sends to executors elsewhere: the project's code and, if asked, the environment."""

import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from data.object_store import is_object
from data.project import ROOT, SHIPPED_PACKAGES
from experiments.config import SparkConfig
from experiments.errors import ExperimentError
from experiments.spark.addresses import on_this_machine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The executors' name for an archive, in their working folder.
_UNPACKED = "environment"
_ENDINGS = (".tar.gz", ".tgz", ".zip", ".tar")


def executor_python(spark: SparkConfig) -> str:
    """Return the program that executors start for Python."""
    return {
        "path": sys.executable,
        "archive": f"./{_UNPACKED}/bin/python",
        "image": spark.environment_python,
    }[spark.environment]


def check_archive(spark: SparkConfig) -> None:
    """Refuse an archive that is not there, before anything is prepared.

    Raises
    ------
    ExperimentError
        With what is missing.
    """
    if spark.environment != "archive":
        return
    archive = str(spark.environment_archive)
    if not archive.endswith(_ENDINGS):
        raise ExperimentError(
            f"--environment-archive {archive}: Spark unpacks archives by their names, "
            f"which end in {', '.join(_ENDINGS)}"
        )
    if "://" not in archive and not Path(archive).is_file():
        raise ExperimentError(
            f"there is no archive {archive}: make it with 'python -m deploy pack {archive}'"
        )


def archive_settings(spark: SparkConfig, folder: Path) -> dict[str, str]:
    """Return the settings with which Spark sends the environment to every executor.

    Parameters
    ----------
    folder
        Where an archive from an object store may be kept for the time of the run: Spark alone
        reads none, unless its platform brings the file system, as EMR does.
    """
    if spark.environment != "archive":
        return {}
    archive = str(spark.environment_archive)
    if is_object(archive) and spark.master.startswith("spark://"):
        archive = str(_download(archive, folder))
    if "://" not in archive:
        archive = Path(archive).absolute().as_uri()
    return {"spark.archives": f"{archive}#{_UNPACKED}"}


def ship_code(session: "SparkSession", folder: Path) -> None:
    """Send the packages that executors import to a cluster that does not share this folder."""
    if on_this_machine(session.sparkContext.master):
        return
    archive = folder / "sparkdl_bench.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for package in SHIPPED_PACKAGES:
            for source in sorted((ROOT / package).rglob("*.py")):
                bundle.write(source, source.relative_to(ROOT))
    session.sparkContext.addPyFile(str(archive))


def _download(uri: str, folder: Path) -> Path:
    from pyarrow import fs

    from data.storage import exists, locate

    filesystem, path = locate(uri)
    if not exists(filesystem, path):
        raise ExperimentError(f"there is no archive {uri}: make one with 'python -m deploy pack'")
    target = folder / Path(path).name
    fs.copy_files(path, str(target), filesystem, fs.LocalFileSystem())
    return target
