"""Ways to read images: ``python -m benchmarks.ingesting WAY CONFIG OUTPUT``.

``prepare``
    This project's ingest. Its Spark job (reading, decoding, resizing, digests, Parquet) is also
    timed separately.
``bare``
    Its decoder in a loop over files, with one process per core; without Spark or output.
``image_source``
    Spark's ``image`` data source and a resize in Python; without output.
``feed``
    Training on the output of ``prepare``, with a shuffle buffer smaller than the data.

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
#: Shuffle buffer of ``feed``, small enough to be refilled many times in an epoch of a few hundred
#: images.
_BUFFER_BYTES = 16 * 2**20
_BATCH_SIZE = 64


class Stopwatch:
    """Callable that wraps a function and accumulates the seconds spent in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function and add the seconds taken."""
        began = time.perf_counter()
        result = self._function(*arguments, **options)
        self.seconds += time.perf_counter() - began
        return result


def by_prepare(config: DataConfig, output: str) -> dict[str, float]:
    """Measure the ingest, with Spark and its Python workers already started."""
    with local_context(WORKERS, "ingest benchmark") as context:
        context.parallelize(range(WORKERS), WORKERS).map(_ready).collect()
        decoding = Stopwatch(run_tasks)
        began = time.perf_counter()
        with patch.object(ingest, "run_tasks", decoding):
            prepared = ingest.prepare(config, output)
        seconds = time.perf_counter() - began
        driver = _peak(psutil.Process())
        # In local mode, the executors run in the JVM of the driver.
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
    """Measure the decoder alone, in one process per core, started simultaneously."""
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
    """Measure Spark's image source, which decodes in the JVM, with Pillow's resize in Python."""
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
    """Measure the share of the second epoch during which training waits for its batches."""
    from backends import TrainingTask
    from backends.keras_local import batches
    from data.shards import ShardReader
    from models import ModelConfig, OptimizerConfig

    data = open_prepared(output)
    task: TrainingTask = TrainingTask(data, ModelConfig(), OptimizerConfig(), 2, _BATCH_SIZE, 1, 0)
    model = task.compiled_model()
    reader = ShardReader(data.shard("train"), _BUFFER_BYTES)
    for epoch in (1, 2):  # The first epoch traces the model and warms up.
        waiting, began = 0.0, time.perf_counter()
        iterator = iter(batches(reader, task, epoch))
        while True:
            requested = time.perf_counter()
            batch = next(iterator, None)
            waiting += time.perf_counter() - requested
            if batch is None:
                break
            model.train_on_batch(*batch)
        seconds = time.perf_counter() - began
    return {"waiting": waiting / seconds, "images_per_s": data.rows("train") / seconds}


def _ready(number: int) -> int:
    """Import in a Python worker the modules that the bare loop imports before its clock starts."""
    from PIL import Image

    importlib.import_module("data.chunks")
    Image.preinit()
    time.sleep(0.5)  # Ensure that each worker gets one task.
    return number


def _own_peak(_: int) -> int:
    return _peak(psutil.Process())


def _peak(process: psutil.Process) -> int:
    """Return the peak resident memory of a process since its program started, in bytes.

    ``getrusage`` is not used because it includes the memory that the process had before ``exec``,
    as a fork of its parent.
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
    """Measure one way and print its figures as JSON."""
    print(json.dumps(WAYS[way](DataConfig.model_validate_json(config), output)))


if __name__ == "__main__":
    main(*sys.argv[1:])
