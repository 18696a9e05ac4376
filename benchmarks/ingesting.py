"""Ways to read images: ``python -m benchmarks.ingesting WAY CONFIG OUTPUT``.

``prepare``: this project's ingest, and of it the Spark job alone: reading, decoding, resizing,
digests, Parquet. ``bare``: its decoder in a loop over files, one process for each core, no Spark,
nothing written. ``image_source``: Spark's own ``image`` data source and a resize in Python, nothing
written. ``feed``: training on what ``prepare`` wrote, with a shuffle buffer smaller than the data.
The last line printed is JSON.
"""

import importlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psutil

from data import ingest
from data.config import DataConfig
from data.images import UnreadableImage, decode
from data.layouts import read_index
from data.local_spark import local_context
from data.prepared import open_prepared
from data.schema import SPLITS
from data.spark_job import run_tasks

if TYPE_CHECKING:
    import pyarrow as pa

WORKERS = 2
#: Of the feed: small enough that an epoch of a few hundred images goes through it many times.
_BUFFER_BYTES = 16 * 2**20
_BATCH_SIZE = 64


class Stopwatch:
    """A function that knows how many seconds it has taken."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        began = time.perf_counter()
        result = self._function(*arguments, **options)
        self.seconds += time.perf_counter() - began
        return result


def by_prepare(config: DataConfig, output: str) -> dict[str, float]:
    """Measure the ingest, Spark and its Python workers being up."""
    with local_context(WORKERS, "ingest benchmark") as context:
        context.parallelize(range(WORKERS), WORKERS).map(_ready).collect()
        decoding = Stopwatch(run_tasks)
        began = time.perf_counter()
        with patch.object(ingest, "run_tasks", decoding):
            prepared = ingest.prepare(config, output)
        seconds = time.perf_counter() - began
        driver = _peak(psutil.Process())
        # Spark on one machine keeps executors in the JVM of the driver.
        jvm = max(_peak(child) for child in psutil.Process().children() if child.name() == "java")
        python = max(context.parallelize(range(WORKERS), WORKERS).map(_own_peak).collect())
    rows = sum(prepared.rows(split) for split in SPLITS)
    return {
        "images_per_s": rows / seconds,
        "decoded_per_s": rows / decoding.seconds,
        "driver_bytes": driver,
        "executor_bytes": jvm + WORKERS * python,
    }


def by_bare_loop(config: DataConfig, _: str) -> dict[str, float]:
    """Measure the decoder alone, one process for each core, started together."""
    index = read_index(config)
    paths = [f"{index.root}/{path}" for path in index.table.column("path").to_pylist()]
    ready = multiprocessing.Barrier(WORKERS)
    results: SimpleQueue[float] = multiprocessing.SimpleQueue()
    processes = [
        multiprocessing.Process(target=_loop, args=(paths[number::WORKERS], config, ready, results))
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    seconds = max(results.get() for _ in processes)
    for process in processes:
        process.join()
    return {"images_per_s": len(paths) / seconds}


def _loop(paths: list[str], config: DataConfig, ready: Any, results: Any) -> None:
    image = config.image
    ready.wait(600)
    began = time.perf_counter()
    for path in paths:
        try:
            decode(Path(path).read_bytes(), image.height, image.width, image.color)
        except UnreadableImage:
            continue
    results.put(time.perf_counter() - began)


def by_image_source(config: DataConfig, _: str) -> dict[str, float]:
    """Measure Spark's image source, which decodes in the JVM, and Pillow's resize in Python."""
    from pyspark.sql import SparkSession

    height, width = config.image.height, config.image.width

    def resize(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa
        from PIL import Image

        for batch in batches:
            pixels = []
            for row in batch.to_pylist():
                mode = {1: "L", 3: "RGB", 4: "RGBA"}[row["nChannels"]]
                picture = Image.frombytes(mode, (row["width"], row["height"]), row["data"])
                small = picture.resize((width, height), Image.Resampling.BILINEAR)
                pixels.append(small.tobytes())
            yield pa.RecordBatch.from_arrays([pa.array(pixels, pa.binary())], ["pixels"])

    with local_context(WORKERS, "image source benchmark") as context:
        session = SparkSession(context)
        session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "32")
        began = time.perf_counter()
        reader = session.read.format("image").option("recursiveFileLookup", "true")
        frame = reader.option("dropInvalid", "true").load(f"file://{config.source}")
        columns = ("image.height", "image.width", "image.nChannels", "image.data")
        small = frame.select(*columns).mapInArrow(resize, "pixels binary")
        images = small.selectExpr("count(length(pixels))").first()[0]
        seconds = time.perf_counter() - began
    return {"images_per_s": images / seconds}


def by_feed(_: DataConfig, output: str) -> dict[str, float]:
    """Measure which share of the second epoch training waits for its batches."""
    from backends import TrainingTask
    from backends.keras_local import batches
    from data.shards import ShardReader
    from models import ModelConfig, OptimizerConfig

    data = open_prepared(output)
    task: TrainingTask = TrainingTask(data, ModelConfig(), OptimizerConfig(), 2, _BATCH_SIZE, 1, 0)
    model = task.compiled_model()
    reader = ShardReader(data.shard("train"), _BUFFER_BYTES)
    for epoch in (1, 2):  # the first one traces and warms up
        waiting, began = 0.0, time.perf_counter()
        iterator = iter(batches(reader, task, epoch))
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            waiting += time.perf_counter() - asked
            if batch is None:
                break
            model.train_on_batch(*batch)
        seconds = time.perf_counter() - began
    return {"waiting": waiting / seconds, "images_per_s": data.rows("train") / seconds}


def _ready(number: int) -> int:
    """Import in a Python worker what the bare loop's processes have imported before they begin."""
    from PIL import Image

    importlib.import_module("data.chunks")
    Image.preinit()
    time.sleep(0.5)  # so that each of the workers gets one task
    return number


def _own_peak(_: int) -> int:
    return _peak(psutil.Process())


def _peak(process: psutil.Process) -> int:
    """Return the largest resident memory of a process since its program began, in bytes.

    ``getrusage`` counts what the process was before, as a child of whoever started it.
    """
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(process.pid)


WAYS = {
    "prepare": by_prepare,
    "bare": by_bare_loop,
    "image_source": by_image_source,
    "feed": by_feed,
}


def main(way: str, config: str, output: str) -> None:
    """Print the figures of one way."""
    print(json.dumps(WAYS[way](DataConfig.model_validate_json(config), output)))


if __name__ == "__main__":
    main(*sys.argv[1:])
