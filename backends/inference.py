"""Forward passes of the Keras model, in this process or on the executors.

All backends compute the validation loss with this module, and those whose framework leaves
prediction to Keras also predict with it, so that backends never differ in scoring.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import executors
from backends.base import RunContext, TrainingTask
from data.shards import Shard
from models import NetworkSpec

if TYPE_CHECKING:
    import keras
    from pyspark import Broadcast

#: Function from pixels (n, h, w, c) to class probabilities (n, classes).
Classifier = Callable[[np.ndarray], np.ndarray]
#: Function of the weights, in the order of ``keras.Model.get_weights()``, to a classifier.
ClassifierOf = Callable[[Sequence[np.ndarray]], Classifier]
#: Images in one forward pass, which limits the memory for activations on a worker.
BATCH = 64
#: Lower limit of probabilities in the logarithm, as in Keras.
EPSILON = 1e-7


def predict(
    task: TrainingTask,
    weights: Sequence[np.ndarray],
    context: RunContext,
    split: str = "test",
    classifier_of: ClassifierOf | None = None,
) -> np.ndarray:
    """Return class probabilities of the images of ``split``, in the order of the data.

    If the run has executors, each predicts one slice of the images, and only probabilities are
    sent to the driver.

    Parameters
    ----------
    task
        Task with the images and the network.
    weights
        Weights of the network in the order of ``keras.Model.get_weights()``.
    context
        Context of the run.
    split
        Name of the split.
    classifier_of
        Function of the weights that returns a function from pixels (n, h, w, c) to probabilities
        (n, classes); it must be picklable. None predicts with Keras.

    Returns
    -------
    numpy.ndarray
        Float32, shape (n, classes).
    """
    network = task.network
    make = classifier_of or partial(classifier, network)
    if not context.has_spark:
        blocks = _probabilities(make(weights), task.data.shard(split))
        return _concatenate(blocks, network.classes)
    spark = context.spark.sparkContext
    shared: Broadcast = spark.broadcast(list(weights))
    slices = task.data.row_slices(split, task.workers)

    def run(shards: Iterator[Shard]) -> Iterator[np.ndarray]:
        for shard in shards:
            yield from _probabilities(make(shared.value), shard)

    try:
        collected = spark.parallelize(slices, len(slices)).mapPartitions(run).collect()
    finally:
        shared.destroy()
    return _concatenate(collected, network.classes)


def validation_loss(
    task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
) -> float:
    """Return the mean cross-entropy of ``weights`` over the validation images, in nats."""
    labels = task.data.index("validation").column("label").to_numpy()
    return cross_entropy(predict(task, weights, context, "validation"), labels)


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats.

    Parameters
    ----------
    probabilities
        Float, shape (n, classes).
    labels
        Integers, shape (n,).
    """
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, EPSILON, 1)).mean())


def shard_probabilities(
    network: NetworkSpec, weights: Sequence[np.ndarray], shard: Shard
) -> Iterator[np.ndarray]:
    """Yield the class probabilities of a shard block by block, each of shape (n, classes)."""
    yield from _probabilities(classifier(network, weights), shard)


def _probabilities(classify: Classifier, shard: Shard) -> Iterator[np.ndarray]:
    for block in shard.blocks():
        yield classify(block.pixels)


def classifier(
    network: NetworkSpec, weights: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that maps pixels (n, h, w, c) to class probabilities (n, classes)."""
    model, forward = _forward(network)
    model.set_weights(weights)

    def classify(pixels: np.ndarray) -> np.ndarray:
        starts = range(0, len(pixels), BATCH)
        return np.concatenate([forward(pixels[s : s + BATCH]) for s in starts])

    return classify


@lru_cache(maxsize=2)
def _forward(network: NetworkSpec) -> tuple[Any, Callable[[np.ndarray], np.ndarray]]:
    """Return a model and its forward pass, cached in the process between calls.

    The forward pass uses the library that Keras uses in this process.
    """
    import keras

    model = network.build(seed=0)
    torch = keras.backend.backend() == "torch"
    return model, _torch_forward(model) if torch else _tensorflow_forward(model, network)


def _torch_forward(model: "keras.Model") -> Callable[[np.ndarray], np.ndarray]:
    import torch

    from backends.torch_network import TorchNetwork

    module = TorchNetwork(model).eval()

    def forward(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()

    return forward


def _tensorflow_forward(
    model: "keras.Model", network: NetworkSpec
) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *network.image_shape), network.dtype)]

    @tf.function(input_signature=signature)
    def forward(pixels: Any) -> Any:
        return model(tf.cast(pixels, tf.float32), training=False)

    return lambda pixels: forward(pixels).numpy()


def _concatenate(blocks: Any, classes: int) -> np.ndarray:
    whole = [np.empty((0, classes), np.float32), *blocks]
    return np.concatenate(whole)


def import_on_executors(context: RunContext, workers: int, *modules: str) -> None:
    """Import ``modules`` in the Python worker of every executor, all at the same time."""

    def load(_: Iterator[int]) -> Iterator[str]:
        import importlib

        for module in modules:
            importlib.import_module(module)
        yield "ready"

    numbers = context.spark.sparkContext.parallelize(range(workers), workers)
    executors.at_once(numbers, load)
