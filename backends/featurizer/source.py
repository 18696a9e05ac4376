"""Prepared images as a Spark DataFrame with row numbers in the order of the data set."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.prepared import PreparedData
from data.shards import Shard
from data.storage import locate

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

#: Columns of :func:`images` in addition to ``row`` (bigint, from 0 in the order of the data set).
COLUMNS = ("label", "pixels", "height", "width", "channels")
_TYPES = "row bigint, label int, pixels binary, height int, width int, channels int"
#: Partitions per worker: with fewer, some workers are idle at the end; each one costs a task.
_PARTS_PER_WORKER = 4
#: Substrings of the messages of errors caused by damaged files.
_DAMAGE = ("org.apache.parquet", "bytes of pixels")


def spark_conf(workers: int) -> dict[str, str]:
    """Return settings with which Spark divides files of any size among all workers."""
    return {
        "spark.sql.files.minPartitionNum": str(_PARTS_PER_WORKER * workers),
        "spark.sql.files.openCostInBytes": str(64 * 1024),
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    }


def images(spark: "SparkSession", data: PreparedData, split: str, workers: int) -> "DataFrame":
    """Return the images of ``split`` with their row numbers, evaluated lazily.

    Spark reads Parquet files from disk. PySpark has no file system for object stores as installed,
    so executors read from these through pyarrow.
    """
    if "://" in data.uri:
        return _read_by_pyarrow(spark, data, split, workers)
    return _read_by_spark(spark, data, split)


@contextmanager
def naming_damaged_files(data: PreparedData, split: str) -> Iterator[None]:
    """Replace errors within the block that damaged files of ``split`` cause by one naming the file.

    Spark's own errors do not identify the file.

    Raises
    ------
    DataError
        Instead of Spark's error, if this process finds the damage as well.
    """
    try:
        yield
    except Exception as error:
        if any(sign in str(error) for sign in _DAMAGE):
            for _ in data.shard(split).blocks():
                continue
        raise


def _read_by_spark(spark: "SparkSession", data: PreparedData, split: str) -> "DataFrame":
    from pyspark.sql import functions as F  # noqa: N812

    _, root = locate(data.uri)
    parts = data.summary.files[split]
    starts = itertools.accumulate((part.rows for part in parts), initial=0)
    pairs = [(F.lit(part.name), F.lit(start)) for part, start in zip(parts, starts, strict=False)]
    first_rows = F.create_map(*itertools.chain.from_iterable(pairs))
    row = first_rows[F.col("_metadata.file_name")] + F.col("_metadata.row_index")
    frame = spark.read.parquet(*(f"file://{root}/{part.name}" for part in parts))
    return frame.select(row.cast("bigint").alias("row"), *COLUMNS)


def _read_by_pyarrow(
    spark: "SparkSession", data: PreparedData, split: str, workers: int
) -> "DataFrame":
    slices = data.row_slices(split, _PARTS_PER_WORKER * workers)
    starts = itertools.accumulate((shard.rows for shard in slices), initial=0)
    numbered = dict(enumerate(zip(starts, slices, strict=False)))

    def read(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        for batch in batches:
            for number in batch.column("id").to_pylist():
                yield from _blocks(*numbered[number])

    frame = spark.range(0, len(slices), 1, len(slices))
    return frame.mapInArrow(read, _TYPES)


def _blocks(start: int, shard: Shard) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    height, width, channels = shard.image_shape
    for block in shard.blocks():
        rows = len(block)
        columns: dict[str, Any] = {
            "row": pa.array(range(start, start + rows), pa.int64()),
            "label": pa.array(block.labels, pa.int32()),
            "pixels": pa.array([image.tobytes() for image in block.pixels], pa.binary()),
        }
        for name, value in (("height", height), ("width", width), ("channels", channels)):
            columns[name] = pa.array([value] * rows, pa.int32())
        yield pa.RecordBatch.from_pydict(columns)
        start += rows
