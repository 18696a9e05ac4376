"""Measuring every image of a source, or of a prepared data set, in bounded memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.chunks import pack_rows, read_image
from data.describe import Description
from data.errors import DataError
from data.exploration.measure import (
    MEASURE_SCHEMA,
    fingerprint_file,
    measure_file,
    measure_pixels,
)
from data.images import UnreadableImage
from data.prepared import PreparedData, open_prepared
from data.shards import pixels_of
from data.spark_job import run_tasks
from data.storage import locate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Progress = Callable[[int, int], None]

#: Images of one task: a second of work or less, so that progress shows.
TASK_IMAGES = 256
#: Fewer images than these are measured before a Spark of one's own would have started.
SPARK_FROM_IMAGES = 2_000
#: What an ingest wrote beside the pixels.
_KNOWN = ("source_bytes", "source_xxh128", "pixels_sha256")


@dataclass(frozen=True)
class Survey:
    """The images of a description with what was measured of each."""

    #: Columns of `Description.table` and of `data.exploration.measure.MEASURE_SCHEMA`.
    table: pa.Table
    #: Images in all; more than were measured where only a sample was.
    images: int
    #: Images of each patient (or class) that were asked for, or None for all.
    sample: int | None

    @property
    def is_sample(self) -> bool:
        """Whether images were left out."""
        return self.table.num_rows < self.images


@dataclass(frozen=True)
class _Task:
    """Files that one task reads."""

    root: str
    paths: tuple[str, ...]
    #: True when only the measures by which copies are found are computed.
    fingerprints: bool = False


def survey(
    description: Description,
    *,
    sample: int | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Survey:
    """Measure the images of ``description``.

    Files are read by Spark's executors, a few of them by threads of this process; the pixels of a
    prepared data set are read one row group after the other.

    Parameters
    ----------
    description
        Of a folder in any layout, or of a prepared data set.
    sample
        Images to measure of each patient, or of each class where no patients are known, spread
        evenly by name; None measures all.
    workers
        Images decoded at the same time.
    progress
        Called in this thread with images done and images in all.

    Raises
    ------
    DataError
        When a prepared data set holds features and no pixels.
    """
    rows = description.table
    if sample is not None:
        rows = _sampled(rows, "patient_id" if description.has_patients else "class_name", sample)
    if description.prepared:
        measured = _measure_prepared(description.source, rows, progress)
    else:
        paths = rows.column("path").to_pylist()
        measured = measure_files(description.source, paths, workers=workers, progress=progress)
    for name in measured.column_names:
        rows = rows.append_column(measured.schema.field(name), measured.column(name))
    return Survey(rows, description.table.num_rows, sample)


def _sampled(table: pa.Table, column: str, number: int) -> pa.Table:
    """Return so many rows of each value of ``column``, evenly spread."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, value in enumerate(table.column(column).to_pylist()):
        rows_of[value].append(row)
    chosen = [
        rows[place]
        for rows in rows_of.values()
        for place in sorted({*np.linspace(0, len(rows) - 1, number).astype(int).tolist()})
    ]
    return table.take(sorted(chosen))


def measure_files(
    root: str,
    paths: Sequence[str],
    *,
    fingerprints: bool = False,
    spark: "SparkSession | None" = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> pa.Table:
    """Return columns of ``MEASURE_SCHEMA``, one row for each path.

    Parameters
    ----------
    root
        Folder or URI that relative paths start from.
    paths
        Files of images.
    fingerprints
        Measure only that by which copies are found, see `fingerprint_file`; other columns are null.
    spark
        A session whose executors read many files; without it a local one is started. Few files are
        read in this process.
    workers, progress
        As for `survey`.
    """
    if not paths:
        return MEASURE_SCHEMA.empty_table()
    length = TASK_IMAGES if len(paths) >= SPARK_FROM_IMAGES else max(1, TASK_IMAGES // 16)
    tasks = [
        _Task(root, tuple(paths[first : first + length]), fingerprints)
        for first in range(0, len(paths), length)
    ]
    sizes = [len(task.paths) for task in tasks]
    if len(paths) >= SPARK_FROM_IMAGES:
        results = run_tasks(
            _measure_task, tasks, sizes=sizes, spark=spark, workers=workers, progress=progress
        )
    else:
        results = _run_here(tasks, sizes, workers, progress)
    tables = [pa.ipc.open_stream(result).read_all() for result in results]
    return pa.concat_tables(tables)


def _run_here(
    tasks: Sequence[_Task], sizes: Sequence[int], workers: int, progress: Progress | None
) -> list[bytes]:
    """Measure in threads: Pillow decodes without the interpreter's lock."""
    results, done = [], 0
    with ThreadPoolExecutor(workers) as pool:
        try:
            for result, size in zip(pool.map(_measure_task, tasks), sizes, strict=True):
                results.append(result)
                done += size
                if progress is not None:
                    progress(done, sum(sizes))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _measure_task(task: _Task) -> bytes:
    """Return the measures of a task's files, in their order, as an Arrow stream."""
    filesystem, root = locate(task.root)
    measured = []
    measure = fingerprint_file if task.fingerprints else measure_file
    for path in task.paths:
        try:
            measured.append(measure(read_image(filesystem, root, path)))
        except UnreadableImage as error:
            measured.append({"reason": error.reason})
    return pack_rows(pa.Table.from_pylist(measured, MEASURE_SCHEMA))


def _measure_prepared(uri: str, rows: pa.Table, progress: Progress | None) -> pa.Table:
    data = open_prepared(uri)
    if data.dtype != "uint8":
        raise DataError(
            f"{uri} holds features of a backbone and no pixels: describe the data set or the "
            "folder that they were computed from"
        )
    wanted = {name: place for place, name in enumerate(rows.column("image_id").to_pylist())}
    height, width, channels = data.image_shape
    known = {"height": height, "width": width, "mode": "RGB" if channels == 3 else "L"}
    found: list[dict[str, Any]] = [{}] * len(wanted)
    done = 0
    for table in _row_groups(data):
        pixels = pixels_of(table.column("pixels"), data.image_shape)
        columns = [name for name in _KNOWN if name in table.column_names]
        facts = table.select(["image_id", *columns]).to_pylist()
        for image, fact in zip(pixels, facts, strict=True):
            place = wanted.get(fact.pop("image_id"))
            if place is not None:
                found[place] = known | _renamed(fact) | measure_pixels(image)
                done += 1
        if progress is not None:
            progress(done, len(found))
    return pa.Table.from_pylist(found, MEASURE_SCHEMA)


def _renamed(fact: dict[str, Any]) -> dict[str, Any]:
    return {"bytes" if name == "source_bytes" else name: value for name, value in fact.items()}


def _row_groups(data: PreparedData) -> Iterator[pa.Table]:
    filesystem, root = locate(data.uri)
    for parts in data.summary.files.values():
        for part in parts:
            with filesystem.open_input_file(f"{root}/{part.name}") as stream:
                parquet = pq.ParquetFile(stream)
                names = {"image_id", "pixels", *_KNOWN} & {*parquet.schema_arrow.names}
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, sorted(names))
