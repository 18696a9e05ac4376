"""Features that a data set contains instead of pixels, as a DataFrame for classifiers."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.featurizer import source
from data.prepared import PreparedData

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


class Precomputed:
    """Features from :mod:`backends.featurizer.derived`, with the interface of ``Extraction``."""

    notes: tuple[str, ...] = ()

    def __init__(self, spark: "SparkSession", data: PreparedData, workers: int) -> None:
        self._spark, self._data, self._workers = spark, data, workers

    def cached(self, split: str) -> bool:
        """Return True: the features are already computed."""
        return True

    def features(self, split: str) -> "DataFrame":
        """Return row (bigint, in the data's order), label and features (array<float>)."""

        def unpack(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            import pyarrow as pa

            for batch in batches:
                content = b"".join(batch.column("pixels").to_pylist())
                values = np.frombuffer(content, "<f4").reshape(batch.num_rows, -1)
                columns = [batch.column("row"), batch.column("label")]
                features = pa.array([*values], pa.list_(pa.float32()))
                yield pa.RecordBatch.from_arrays([*columns, features], ["row", "label", "features"])

        images = source.images(self._spark, self._data, split, self._workers)
        rows = images.select("row", "label", "pixels")
        return rows.mapInArrow(unpack, "row bigint, label int, features array<float>")

    def reporting(self, _: Any) -> Any:
        """Return a context manager that reports nothing, as nothing is computed."""
        return nullcontext()
