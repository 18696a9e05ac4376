"""Three ways to compute the same features: ``python -m benchmarks.featurizing WAY DATA``.

``spark``
    This project's featurizer.
``bare``
    Its engine in a loop over arrays in memory, with one process per core and without Spark.
``predict``
    A pandas UDF around Keras's ``predict``, with the model loaded once per Python worker, as in the
    first reports on the method.

The last line printed is JSON: images per second with everything loaded, and the peak memory of the
largest Python worker in bytes.
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.featurizer import features, programs, source
from backends.featurizer.engine import backbone_of, choice_of
from backends.featurizer.extraction import Extraction
from backends.featurizer.pixels import forward_batches
from backends.featurizer.programs import Program
from benchmarks.featurizer import WORKERS
from data.local_spark import local_context
from data.prepared import PreparedData, open_prepared
from models.backbones import Backbone
from models.config import BackboneConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Split whose images are timed.
SPLIT = "train"


def by_spark(data: PreparedData, backbone: Backbone) -> dict[str, float]:
    """Measure the featurizer."""
    with local_context(WORKERS, "featurizer benchmark") as context:
        spark = _session(context, data)
        extraction = Extraction(spark, data, backbone, workers=WORKERS)
        _drain(extraction.features("validation"))
        seconds = _drain(extraction.features(SPLIT))
        return {"images_per_s": data.rows(SPLIT) / seconds, "worker_bytes": _worker_bytes(context)}


def by_bare_loop(data: PreparedData, backbone: Backbone) -> dict[str, float]:
    """Measure the engine alone, in one process per core, started simultaneously."""
    program = choice_of(backbone, "auto").program
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(WORKERS), spawn.Queue()
    processes = [
        spawn.Process(target=_loop, args=(program, data, number, ready, results))
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    seconds = max(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
    return {"images_per_s": data.rows(SPLIT) / seconds}


def by_predict(data: PreparedData, backbone: Backbone) -> dict[str, float]:
    """Measure Keras's ``predict`` in a pandas UDF."""
    program = programs.export(backbone, "keras")
    with local_context(WORKERS, "predict benchmark") as context:
        spark = _session(context, data)
        frames = [_predicted(spark, data, split, program) for split in ("validation", SPLIT)]
        _drain(frames[0])
        seconds = _drain(frames[1])
        return {"images_per_s": data.rows(SPLIT) / seconds, "worker_bytes": _worker_bytes(context)}


def _predicted(
    spark: "SparkSession", data: PreparedData, split: str, program: Program
) -> "DataFrame":
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    shared, shape = spark.sparkContext.broadcast(program), data.image_shape

    def featurize(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        model = _keras_model(shared.value)
        for batch in batches:
            images = np.stack([np.frombuffer(row, np.uint8).reshape(shape) for row in batch])
            yield pd.Series([*model.predict(images, verbose=0)])

    udf = pandas_udf(featurize, "array<float>")
    return source.images(spark, data, split, WORKERS).select(udf("pixels").alias("features"))


_models: dict[str, Any] = {}


def _keras_model(program: Program) -> Any:
    """Return the model, which a Python worker loads during warm-up and keeps."""
    import tempfile
    from pathlib import Path

    import keras

    if program.key not in _models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "backbone.keras"
            path.write_bytes(program.structure)
            _models[program.key] = keras.models.load_model(path, compile=False)
    return _models[program.key]


def _loop(
    program: Program,
    data: PreparedData,
    number: int,
    ready: Barrier,
    results: Queue,
) -> None:
    forward = programs.load(program)
    pixels = data.row_slices(SPLIT, WORKERS)[number].read().pixels
    shapes = [data.image_shape] * len(pixels)
    contents = [image.tobytes() for image in pixels]
    blocks = [*forward_batches(contents, shapes, program.input_shape)]
    forward(blocks[0])
    ready.wait(600)
    started = time.perf_counter()
    for block in blocks:
        forward(block)
    results.put(time.perf_counter() - started)


def _session(context: Any, data: PreparedData) -> "SparkSession":
    from pyspark.sql import SparkSession

    session = SparkSession(context)
    settings = {**source.spark_conf(WORKERS), **features.spark_conf(data.image_bytes)}
    for name, value in settings.items():
        session.conf.set(name, value)
    return session


def _drain(frame: "DataFrame") -> float:
    """Compute all rows without storing them; return the seconds taken."""
    started = time.perf_counter()
    frame.write.format("noop").mode("overwrite").save()
    return time.perf_counter() - started


def _worker_bytes(context: Any) -> int:
    """Return the largest peak memory of the Python workers, in bytes."""

    def peak(_: int) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    return max(context.parallelize(range(WORKERS), WORKERS).map(peak).collect())


WAYS = {"spark": by_spark, "bare": by_bare_loop, "predict": by_predict}


def main(way: str, uri: str) -> None:
    """Measure one way and print its figures as JSON."""
    data = open_prepared(uri)
    config = BackboneConfig(name="ResNet50", weights="none")
    backbone = backbone_of(config, data.image_shape, seed=0)
    print(json.dumps(WAYS[way](data, backbone)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
