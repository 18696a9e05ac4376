"""Cache of features as Parquet files, so that training another classifier takes seconds.

::

    <cache>/<backbone and engine>/<data and split>/<split>/part-*.parquet

The folder of a split is renamed to its final name when it is complete, so an existing folder is
always complete.
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
    """Cache in a folder that the driver and all executors can access."""

    folder: str

    def holds(self, key: str, data: PreparedData, split: str) -> bool:
        """Return whether the cache contains features of ``split``.

        Parameters
        ----------
        key
            Key of the program that computed them
            (:attr:`backends.featurizer.programs.Program.key`).
        data
            Data set of the images.
        split
            Name of the split.
        """
        return exists(fs.LocalFileSystem(), self._path(key, data, split))

    def read(self, spark: "SparkSession", key: str, data: PreparedData, split: str) -> "DataFrame":
        """Return a DataFrame with the columns row, label and features."""
        return spark.read.parquet(f"file://{self._path(key, data, split)}")

    def write(
        self, key: str, data: PreparedData, split: str, make: Callable[[], "DataFrame"]
    ) -> None:
        """Compute features and store them atomically.

        Raises
        ------
        BackendError
            If the folder cannot be written or is not shared with the executors.
        """
        filesystem, target = fs.LocalFileSystem(), self._path(key, data, split)
        # The name contains the process, so that concurrent runs do not write to the same files.
        unfinished = own_folders.unfinished(target)
        own_folders.remove_abandoned_beside(Path(target))
        try:
            unfinished.mkdir(parents=True, exist_ok=True)
            with own_folders.held(unfinished):
                # In a subfolder of the one that is held, because Spark recreates the folder that it
                # overwrites.
                features = str(unfinished / "features")
                make().write.mode("overwrite").parquet(f"file://{features}")
                if not exists(filesystem, f"{features}/_SUCCESS"):
                    raise BackendError(
                        f"cache {self.folder}: files written by the executors are not visible "
                        "here; choose a folder that all machines share, or omit the cache"
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
            if not exists(fs.LocalFileSystem(), target):  # otherwise another run was faster
                raise

    def _path(self, key: str, data: PreparedData, split: str) -> str:
        _, root = locate(self.folder)
        files = ",".join(part.name for part in data.summary.files.get(split, ()))
        rows = f"{data.summary.fingerprint}-{data.summary.split_checksum}-{files}"
        return f"{root}/{_short(key)}/{_short(rows)}/{split}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
