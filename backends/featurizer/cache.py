"""Features kept as Parquet, so that a second classifier on them costs seconds.

::

    <cache>/<backbone and engine>/<data and split>/<split>/part-*.parquet

A split's folder gets its name when it is complete: a folder that is there is whole.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow import fs

from backends.errors import BackendError
from data import own_folders
from data.prepared import PreparedData
from data.storage import exists, locate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class FeatureCache:
    """A folder that the driver and all executors see."""

    folder: str

    def holds(self, key: str, data: PreparedData, split: str) -> bool:
        """Tell whether features of ``split`` are there.

        Parameters
        ----------
        key
            Of the program that made them (:attr:`backends.featurizer.programs.Program.key`).
        """
        return exists(fs.LocalFileSystem(), self._path(key, data, split))

    def read(self, spark: "SparkSession", key: str, data: PreparedData, split: str) -> "DataFrame":
        """Return the columns row, label and features."""
        return spark.read.parquet(f"file://{self._path(key, data, split)}")

    def write(
        self, key: str, data: PreparedData, split: str, make: Callable[[], "DataFrame"]
    ) -> None:
        """Compute features and keep them, whole or not at all.

        Raises
        ------
        BackendError
            When the folder cannot be written or the executors write elsewhere.
        """
        filesystem, target = fs.LocalFileSystem(), self._path(key, data, split)
        # Named by process: two runs at once do not write into each other's files.
        unfinished = own_folders.unfinished(target)
        own_folders.remove_abandoned_beside(Path(target))
        try:
            unfinished.mkdir(parents=True, exist_ok=True)
            with own_folders.held(unfinished):
                # Below the folder that is held: Spark makes the one that it overwrites anew.
                features = str(unfinished / "features")
                make().write.mode("overwrite").parquet(f"file://{features}")
                if not exists(filesystem, f"{features}/_SUCCESS"):
                    raise BackendError(
                        f"cache {self.folder}: what the executors write does not arrive here; name "
                        "a folder that all machines share, or leave the cache out"
                    )
                self._publish(features, target)
        except OSError as error:
            raise BackendError(
                f"cache {self.folder} cannot be written: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _publish(self, unfinished: str, target: str) -> None:
        try:
            fs.LocalFileSystem().move(unfinished, target)
        except OSError:
            if not exists(fs.LocalFileSystem(), target):  # else another run was faster
                raise

    def _path(self, key: str, data: PreparedData, split: str) -> str:
        _, root = locate(self.folder)
        files = ",".join(part.name for part in data.summary.files.get(split, ()))
        rows = f"{data.summary.fingerprint}-{data.summary.split_checksum}-{files}"
        return f"{root}/{_short(key)}/{_short(rows)}/{split}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
