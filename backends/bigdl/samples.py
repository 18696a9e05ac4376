"""Input of BigDL: float32 ``Sample`` objects that executors create from their shards.

The usual ways of BigDL 2.4 to create a data set from an RDD mix the rows of all workers
(``coalesce`` with a shuffle in ``DataSet.rdd`` and ``FeatureSet.rdd``), and its default data set
starts every step at a random image, so that an epoch contains some images twice and others never.
``training_set`` therefore uses ``DRAMFeatureSet`` in sequential order, which does neither.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import executors
from backends.base import RunContext, TrainingTask
from backends.bigdl.weights import Ordering
from data.shards import Shard, ShardReader

if TYPE_CHECKING:
    from pyspark import RDD

_FEATURE = "com.intel.analytics.bigdl.dllib.feature"


def steps_per_epoch(task: TrainingTask) -> int:
    """Return the number of whole batches of the smallest shard: all workers step together."""
    smallest = min(shard.rows for shard in task.data.patient_shards("train", task.workers))
    return smallest // task.worker_batch_size


def placed_shards(task: TrainingTask, context: RunContext) -> "RDD":
    """Return an RDD of the training shards, with one pinned to each executor.

    Between two calls of its optimizer BigDL matches workers with their share of Adam's state by
    partition. If a partition moved to another executor in the next epoch, that share would be
    lost silently.
    """
    shards = task.data.patient_shards("train", task.workers)
    placed = context.spark.sparkContext.parallelize(shards, task.workers).cache()
    executors.at_once(placed, lambda own: own)
    return placed


def training_rdd(task: TrainingTask, placed: "RDD", epoch: int, ordering: Ordering) -> "RDD":
    """Return an RDD of ``Sample`` with the images of one epoch in order.

    It has one partition of ``steps_per_epoch`` whole batches for each of the ``placed`` shards.
    Executors read their shard from Parquet when the RDD is evaluated; no pixels pass through the
    driver.
    """
    steps, classes = steps_per_epoch(task), len(task.data.class_names)
    batch_size, seed, shuffle = task.worker_batch_size, task.seed, task.shuffle

    def rows(own: Iterator[Shard]) -> Iterator[Any]:
        for shard in own:
            batches = ShardReader(shard).batches(
                batch_size, seed=seed, epoch=epoch, shuffle=shuffle, drop_remainder=True
            )
            for pixels, labels in islice(batches, steps):
                yield from samples(pixels, labels, shard.image_shape, classes, ordering)

    return placed.mapPartitions(rows)


def prediction_rdd(task: TrainingTask, context: RunContext, ordering: Ordering) -> "RDD":
    """Return an RDD of ``Sample`` with the test images in the order of the data set."""
    slices = task.data.row_slices("test", task.workers)
    classes = len(task.data.class_names)

    def rows(own: Iterator[Shard]) -> Iterator[Any]:
        for shard in own:
            for block in shard.blocks():
                yield from samples(block.pixels, block.labels, shard.image_shape, classes, ordering)

    return context.spark.sparkContext.parallelize(slices, len(slices)).mapPartitions(rows)


def samples(
    pixels: np.ndarray,
    labels: np.ndarray,
    image_shape: tuple[int, int, int],
    classes: int,
    ordering: Ordering,
) -> Iterator[Any]:
    """Yield a float32 ``Sample`` for each image.

    Shapes and labels are checked here because BigDL trains on samples of a wrong shape and on
    invalid labels without an error.

    Raises
    ------
    ValueError
        If pixels are not of shape (n, *image_shape), or a label is outside 0..classes - 1.
    """
    from bigdl.dllib.utils.common import Sample

    if pixels.shape[1:] != image_shape:
        raise ValueError(f"images have shape {pixels.shape[1:]}, the network needs {image_shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"labels range from {labels.min()} to {labels.max()}, the network has {classes} classes"
        )
    images = np.moveaxis(pixels, -1, 1) if ordering == "th" else pixels
    for image, label in zip(images, labels, strict=True):
        yield Sample.from_ndarray(image.astype(np.float32, order="C"), np.float32(label))


def training_set(rdd: "RDD", global_batch_size: int) -> Any:
    """Return a BigDL feature set of batches over ``rdd``, by partition and in sequential order.

    Call its ``unpersist`` to free the executors' memory.
    """
    from bigdl.dllib.utils.common import JavaCreator, _get_gateway, _py2java
    from bigdl.dllib.utils.file_utils import callZooFunc

    gateway = _get_gateway()
    interface = JavaCreator.instance("float", gateway).value[0]
    rows = interface.toJSample(_py2java(gateway, rdd).rdd())
    feature_sets = getattr(gateway.jvm, f"{_FEATURE}.DRAMFeatureSet")
    in_order, shuffled = True, False
    feature_set = feature_sets.rdd(rows, in_order, shuffled, rows.elementClassTag())
    batches = callZooFunc("float", "createSampleToMiniBatch", global_batch_size)
    return callZooFunc("float", "transformFeatureSet", feature_set, batches)
