"""Measurement of all images of a source or a prepared data set, in bounded memory."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.chunks import pack_rows, read_image
from data.description import Description
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

#: Images per task: at most a second of work, so that progress is visible.
TASK_IMAGES = 256
#: Fewer images than this are measured in less time than a local Spark takes to start.
SPARK_FROM_IMAGES = 2_000
#: Columns that ``prepare`` stores next to the pixels.
_KNOWN = ("source_bytes", "source_xxh128", "pixels_sha256")


@dataclass(frozen=True)
class Survey:
    """The images of a description with their measures."""

    #: Columns of `Description.table` and of `data.exploration.measure.MEASURE_SCHEMA`.
    table: pa.Table
    #: Total number of images; more than were measured if only a sample was.
    images: int
    #: Requested number of images per patient (or class), None for all.
    sample: int | None

    @property
    def is_sample(self) -> bool:
        """True if not all images were measured."""
        return self.table.num_rows < self.images


@dataclass(frozen=True)
class _Task:
    """Files that one task measures."""

    root: str
    paths: tuple[str, ...]
    #: True to compute only the measures by which copies are found.
    fingerprints: bool = False


def survey(
    description: Description,
    *,
    sample: int | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Survey:
    """Measure the images of ``description``.

    Files are read by Spark executors, or by threads of this process if they are few; the pixels of
    a prepared data set are read one row group at a time.

    Parameters
    ----------
    description
        Description of a folder in any layout or of a prepared data set.
    sample
        Number of images to measure per patient, or per class if patients are unknown, spread
        evenly by name; None measures all.
    workers
        Number of images that are decoded at the same time.
    progress
        Called in this thread with the number of processed images and the total.

    Raises
    ------
    DataError
        If a prepared data set contains features instead of pixels.
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
    """Return at most ``number`` evenly spread rows for each value of ``column``."""
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
    """Return a table of ``MEASURE_SCHEMA`` with one row per path.

    Parameters
    ----------
    root
        Folder or URI that relative paths are based on.
    paths
        Paths of image files.
    fingerprints
        Compute only the measures by which copies are found, see `fingerprint_file`; other columns
        are null.
    spark
        Session whose executors read the files; by default a local one is started. A small number of
        files is read in this process.
    workers, progress
        As in `survey`.
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
    """Measure in threads: Pillow releases the interpreter lock while it decodes."""
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
    """Return the measures of a task's files, in order, as an Arrow stream."""
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
            f"{uri} contains features of a backbone instead of pixels: describe the data set or "
            "the folder that they were computed from"
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
