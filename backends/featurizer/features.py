"""Features as a column of a DataFrame, and predictions from them on the executors."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from backends.featurizer import programs
from backends.featurizer.pixels import forward_batches
from backends.featurizer.programs import Forward, Program

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import Accumulator
    from pyspark.sql import Column, DataFrame, SparkSession

#: Bytes of pixels that Spark sends to a Python worker at once; Arrow holds two copies of them.
BATCH_BYTES = 8 * 2**20
_ROWS_PER_BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"

#: Cache of the compiled program that was used last in this process.
_loaded: dict[str, Forward] = {}


def rows_per_batch(image_bytes: int, batch_bytes: int = BATCH_BYTES) -> int:
    """Return the number of images of ``image_bytes`` that fit in ``batch_bytes``, at least 1."""
    return max(1, batch_bytes // image_bytes)


def spark_conf(image_bytes: int, batch_bytes: int = BATCH_BYTES) -> dict[str, str]:
    """Return the settings of a session whose images all have size ``image_bytes``."""
    return {
        _ROWS_PER_BATCH: str(rows_per_batch(image_bytes, batch_bytes)),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # If enabled, Spark passes this setting as an environment variable, which separates the
        # Python workers of DataFrames from those of RDDs. Otherwise both share workers, so that
        # modules which the latter have imported are already loaded.
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
    }


def bound_batches(spark: "SparkSession", image_bytes: int, batch_bytes: int = BATCH_BYTES) -> None:
    """Limit the session's Arrow batches, which Spark counts in rows, to a size in bytes.

    A session setting that is already lower is kept.
    """
    allowed = rows_per_batch(image_bytes, batch_bytes)
    current = int(spark.conf.get(_ROWS_PER_BATCH))
    if current <= 0 or current > allowed:
        spark.conf.set(_ROWS_PER_BATCH, str(allowed))


def features_udf(
    spark: "SparkSession", program: Program, counted: "Accumulator[int] | None" = None
) -> "Callable[..., Column]":
    """Return a pandas UDF (pixels, height, width, channels) -> array<float>.

    The program is broadcast and compiled once by each Python worker.

    Parameters
    ----------
    spark
        Session of the frames to which the UDF is applied.
    program
        The backbone.
    counted
        Accumulator to which the number of processed images is added.
    """
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    shared = spark.sparkContext.broadcast(program)
    key, shape = program.key, program.input_shape

    def featurize(
        batches: Iterator[tuple[pd.Series, pd.Series, pd.Series, pd.Series]],
    ) -> Iterator[pd.Series]:
        forward = loaded(key, lambda: shared.value)
        for pixels, heights, widths, channels in batches:
            shapes = [*zip(heights, widths, channels, strict=True)]
            rows = [
                row for part in forward_batches([*pixels], shapes, shape) for row in forward(part)
            ]
            if counted is not None:
                counted.add(len(rows))
            yield pd.Series(rows, dtype=object)

    udf: Callable[..., Column] = pandas_udf(featurize, "array<float>")
    return udf


def loaded(key: str, get: Callable[[], Program]) -> Forward:
    """Return the compiled program ``key``; the first call fetches it by ``get`` and compiles it."""
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = programs.load(get())
    return _loaded[key]


def with_features(
    frame: "DataFrame", program: Program, counted: "Accumulator[int] | None" = None
) -> "DataFrame":
    """Return row, label and features of a frame of :func:`backends.featurizer.source.images`."""
    udf = features_udf(frame.sparkSession, program, counted)
    features = udf("pixels", "height", "width", "channels").alias("features")
    return frame.select("row", "label", features)


def probabilities(
    frame: "DataFrame", kernel: np.ndarray, bias: np.ndarray, rows: int
) -> np.ndarray:
    """Apply a dense softmax layer to ``features`` on the executors.

    Parameters
    ----------
    frame
        DataFrame with the columns ``row`` and ``features``.
    kernel, bias
        Arrays of shapes (features, classes) and (classes,).
    rows
        Expected number of rows.

    Returns
    -------
    numpy.ndarray
        float32, shape (rows, classes), ordered by ``row``.

    Raises
    ------
    RuntimeError
        If rows are missing or occur twice.
    """

    def apply(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa
        from scipy.special import softmax

        for batch in batches:
            features = batch.column("features").flatten().to_numpy().reshape(batch.num_rows, -1)
            values = [*softmax(features @ kernel + bias, axis=1).astype(np.float32)]
            columns = [batch.column("row"), pa.array(values, pa.list_(pa.float32()))]
            yield pa.RecordBatch.from_arrays(columns, ["row", "probabilities"])

    pairs = frame.select("row", "features")
    found = pairs.mapInArrow(apply, "row bigint, probabilities array<float>").toPandas()
    numbers = found["row"].to_numpy(np.int64)
    if not np.array_equal(np.sort(numbers), np.arange(rows)):
        raise RuntimeError(f"{len(numbers)} predictions do not match the {rows} images one by one")
    result = np.empty((rows, len(bias)), np.float32)
    result[numbers] = np.stack(found["probabilities"].to_list())
    return result
