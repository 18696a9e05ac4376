"""Conversion of a DataFrame of images to the shards that backends read.

Executors write the shards; the driver receives only names and counts.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from pyarrow import fs

from data.errors import DataError
from data.names import one_spelling
from data.prepared import FilePart, PreparedData, Summary
from data.split_search import draw
from data.splitting import SplitManifest
from data.storage import locate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Approximate size of Parquet row groups, which allow a worker to read part of a file.
_ROW_GROUP_BYTES = 8 * 2**20


def write_prepared(
    images: "DataFrame",
    folder: str,
    *,
    pixels: str,
    label: str,
    group: str,
    validation: float,
    workers: int,
    seed: int,
) -> PreparedData:
    """Write the training and validation images of a DataFrame to ``folder``.

    All images of a group belong to the same split.

    Parameters
    ----------
    images
        DataFrame with the columns ``pixels``, ``label`` and ``group`` under the names given below,
        and ``height``, ``width`` and ``channels``.
    folder
        Empty folder or URI that driver and executors share.
    pixels
        Name of the binary column of pixels.
    label
        Name of the column of labels, which are integers from 0 without gaps.
    group
        Name of the column of groups.
    validation
        Fraction of the images that are used for validation.
    workers
        Number of workers; at least one group for each must remain for training.
    seed
        Seed of the split.

    Raises
    ------
    DataError
        If columns are missing, images differ in shape, labels have gaps or there are too few
        groups.
    """
    from pyspark.sql import functions as F  # noqa: N812

    wanted = {pixels, label, group, "height", "width", "channels"}
    if missing := wanted - set(images.columns):
        raise DataError(f"the DataFrame lacks the columns {', '.join(sorted(missing))}")
    shape = _shape(images)
    counts = _counts(images, label, group)
    sides = _sides(counts, validation, seed)
    if list(sides.values()).count("train") < workers:
        raise DataError(f"{len(sides)} groups are too few for validation and {workers} workers")
    table = images.sparkSession.createDataFrame(
        [(written, name, sides[name]) for written, name in counts.names.items()],
        "written string, group string, split string",
    )
    rows = images.select(
        F.monotonically_increasing_id().cast("string").alias("image_id"),
        F.lit("").alias("path"),
        F.col(label).cast("int").alias("label"),
        F.col(label).cast("int").cast("string").alias("class_name"),
        F.col(group).cast("string").alias("written"),
        "height",
        "width",
        "channels",
        F.col(pixels).alias("pixels"),
    ).join(F.broadcast(table), "written")
    rows = rows.withColumn("patient_id", F.col("group")).drop("written")
    files = {split: _write(rows, split, folder, workers) for split in ("train", "validation")}
    classes = counts.classes
    manifest = SplitManifest("patient", seed, sides)
    summary = Summary(
        fingerprint="of a DataFrame: not computed",
        split_checksum=manifest.checksum,
        class_names=tuple(str(number) for number in range(classes)),
        image_shape=shape,
        synthetic=False,
        source="DataFrame",
        layout="DataFrame",
        files=files,
        rejects=0,
    )
    uri = folder if "://" in folder else locate(folder)[1]
    return PreparedData(uri, summary, manifest)


class _Counts:
    """Number of images of each group and label."""

    def __init__(self, rows: list[Any]) -> None:
        #: Normalized spelling of each group, by its spelling in the rows.
        self.names = {row["group"]: one_spelling(row["group"]) for row in rows}
        self.groups = sorted({*self.names.values()})
        labels = sorted({row["label"] for row in rows})
        if None in labels or labels != list(range(len(labels))):
            raise DataError(f"labels must be 0, 1, 2 … without gaps, not {labels[:10]}")
        self.classes = len(labels)
        self.table = np.zeros((len(self.groups), len(labels)), np.int64)
        places = {name: number for number, name in enumerate(self.groups)}
        for row in rows:
            self.table[places[self.names[row["group"]]], row["label"]] += row["count"]


def _counts(images: "DataFrame", label: str, group: str) -> _Counts:
    from pyspark.sql import functions as F  # noqa: N812

    columns = F.col(group).cast("string").alias("group"), F.col(label).cast("int").alias("label")
    return _Counts(images.select(*columns).groupBy("group", "label").count().collect())


def _shape(images: "DataFrame") -> tuple[int, int, int]:
    shapes = images.select("height", "width", "channels").distinct().limit(2).collect()
    if len(shapes) != 1:
        raise DataError(
            "the DataFrame contains no images" if not shapes else "the images differ in shape"
        )
    height, width, channels = shapes[0]
    return height, width, channels


def _sides(counts: _Counts, validation: float, seed: int) -> dict[str, str]:
    parts = draw(counts.table, [validation], seed)
    if parts is None:
        raise DataError(
            "there are too few groups: each label needs groups in training and in validation"
        )
    names = ("validation", "train")
    return {group: names[part] for group, part in zip(counts.groups, parts, strict=True)}


def _write(rows: "DataFrame", split: str, folder: str, parts: int) -> tuple[FilePart, ...]:
    """Write one split, with the rows of each group next to each other, and return its files."""
    (
        rows.where(rows["split"] == split)
        .repartitionByRange(parts, "group")
        .sortWithinPartitions("group", "image_id")
        .write.option("parquet.block.size", _ROW_GROUP_BYTES)
        .mode("overwrite")
        .parquet(f"{folder}/{split}")
    )
    filesystem, root = locate(folder)
    found = filesystem.get_file_info(fs.FileSelector(f"{root}/{split}"))
    names = sorted(
        f"{split}/{info.base_name}" for info in found if info.base_name.startswith("part-")
    )
    sizes = [pq.read_metadata(f"{root}/{name}", filesystem=filesystem).num_rows for name in names]
    return tuple(
        FilePart(name=name, rows=size) for name, size in zip(names, sizes, strict=True) if size
    )
