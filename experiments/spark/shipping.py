"""Files sent to executors on other machines: the project's code and optionally its environment."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from data.interpreter import interpreter
from data.object_store import is_object
from data.project import ROOT, SHIPPED_PACKAGES
from experiments.config import SparkConfig
from experiments.errors import ExperimentError
from experiments.spark.addresses import on_this_machine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Name of the unpacked archive in the executors' working folder.
_UNPACKED = "environment"
_ENDINGS = (".tar.gz", ".tgz", ".zip", ".tar")


def executor_python(spark: SparkConfig) -> str:
    """Return the path of the Python that executors start."""
    return {
        "path": interpreter(),
        "archive": f"./{_UNPACKED}/bin/python",
        "image": spark.environment_python,
    }[spark.environment]


def check_archive(spark: SparkConfig) -> None:
    """Check that the archive with the environment exists, before any data are prepared.

    Raises
    ------
    ExperimentError
        If the file does not exist, or its name does not have the extension of an archive.
    """
    if spark.environment != "archive":
        return
    archive = str(spark.environment_archive)
    if not archive.endswith(_ENDINGS):
        raise ExperimentError(
            f"--environment-archive {archive}: Spark recognizes archives by their names, "
            f"which must end in {', '.join(_ENDINGS)}"
        )
    if "://" not in archive and not Path(archive).is_file():
        raise ExperimentError(
            f"there is no archive {archive}: make it with 'sparkdl-bench deploy pack {archive}'"
        )


def archive_settings(spark: SparkConfig, folder: Path) -> dict[str, str]:
    """Return the settings that make Spark send the environment to every executor.

    Parameters
    ----------
    spark
        Spark section of the experiment.
    folder
        Folder for an archive that must be downloaded from an object store: Spark itself cannot
        read one, unless its platform provides the file system, as EMR does.
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
        raise ExperimentError(
            f"there is no archive {uri}: make one with 'sparkdl-bench deploy pack'"
        )
    target = folder / Path(path).name
    fs.copy_files(path, str(target), filesystem, fs.LocalFileSystem())
    return target
