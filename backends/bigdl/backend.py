"""BigDL backend: supported tasks, Spark settings, training and prediction."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import numpy as np

from backends import inference
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.bigdl import memory, samples
from backends.bigdl.quiet import quiet, quieten_engine
from backends.bigdl.training import Exchange, Trainer
from backends.bigdl.translation import Network, obstacle
from backends.bigdl.weights import Ordering
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.notes import left_out
from backends.search import Choices, Tunable

INSTALL = "uv sync --group bigdl"
#: Networks that are known to be translatable, so that Keras need not be imported to check them.
_TRANSLATED = ("small_cnn", "lesion_cnn", "mini_xception")
#: Optimizers that compute the same steps as those of Keras.
_OPTIMIZERS = ("adam", "sgd")


class BigDLOptions(Options):
    """Options of computation and communication in BigDL."""

    #: ``th``: channels first, which is faster; ``tf``: channels last.
    ordering: Ordering = "th"
    #: ``full``: gradients and weights are sent as float32; ``half``: truncated to 16 bits.
    exchange: Exchange = "full"


Task = TrainingTask[BigDLOptions]


class BigDL(Backend[BigDLOptions]):
    """Synchronous training in the executors' JVMs, with parameters sharded over the workers.

    Training is reproducible without dropout. The random generators of dropout belong to threads of
    the executors and cannot be seeded, so that runs with it differ.
    """

    name = "bigdl"
    reproducible = False
    packages = ("bigdl-dllib-spark3", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "bigdl.dllib.utils.common")
    tunable: ClassVar[Tunable] = {"exchange": Choices(("full", "half"))}

    def synchronisation(self, task: Task) -> str:
        """Return the description: gradients are averaged at every step."""
        bits = "" if task.options.exchange == "full" else ", cut to 16 bits"
        return f"gradients averaged over all workers at every step (sharded all-reduce{bits})"

    def unsupported(self, task: Task) -> str | None:
        """Refuse missing jars, and shards that do not fill a batch."""
        try:
            jars()
        except BackendError as error:
            return str(error)
        if task.optimizer.name not in _OPTIMIZERS:
            return (
                f"the BigDL backend has no optimizer '{task.optimizer.name}': use "
                f"{' or '.join(_OPTIMIZERS)}, or another backend"
            )
        if task.optimizer.policy is not None:
            return (
                "the BigDL backend trains with a constant learning rate: give "
                "--set optimizer.policy=null, or use another backend"
            )
        if task.global_batch_size % task.workers:
            return (
                f"BigDL divides every batch equally: {task.global_batch_size} images cannot be "
                f"divided among {task.workers} workers"
            )
        if samples.steps_per_epoch(task) == 0:
            return (
                "a worker has fewer training images than its share of a batch "
                f"({task.worker_batch_size}), and BigDL trains on whole batches: "
                "use fewer workers or a smaller --batch-size"
            )
        return None

    def unsupported_network(self, task: Task) -> str | None:
        """Refuse layers without a translation."""
        if task.model.name in _TRANSLATED and not task.model.augmentation:
            return None
        return obstacle(task.build_model(), task.options.ordering)

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Return settings that add BigDL's jars and keep tasks on the executor of their data."""
        return {
            "spark.jars": ",".join(jars()),
            "spark.executor.memory": f"{memory.executor_megabytes(task)}m",
            # Every step joins images and models that are cached on executors: on another executor a
            # task would silently recompute its model.
            "spark.locality.wait": "30s",
            "spark.shuffle.reduceLocality.enabled": "false",
            "spark.speculation": "false",
            # A lost task means a lost part of the model, so the epoch is trained again instead.
            "spark.task.maxFailures": "1",
            "spark.stage.maxConsecutiveAttempts": "1",
            # Cached data lives for an epoch, so the default young generation of a third of the heap
            # would be mostly unused.
            "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -XX:NewRatio=7",
            # Otherwise the order of MKL's additions depends on the memory address of an array.
            "spark.executorEnv.MKL_CBWR": "AUTO",
        }

    def warm_up(self, seed: int) -> None:
        """Import Keras, but not BigDL: it imports pyspark, which another thread is importing."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Train epoch by epoch; in each, images are transferred from the shards to the JVM."""
        options = task.options
        with quiet():
            _start_engine(task, context)
            network = Network(task.build_model(), options.ordering)
        context.verify_initial_weights(network.get_weights())
        trainer = Trainer(task, context, network, options.ordering, options.exchange)
        images = trainer.steps * task.global_batch_size
        epochs: list[Epoch] = []
        if (kept := context.checkpoint()) is not None:
            epochs += kept.epochs
            trainer.resume(kept.epoch, kept.weights)
        try:
            for number in range(len(epochs) + 1, task.epochs + 1):
                started = perf_counter()
                loss = trainer.train_epoch(number)
                seconds = perf_counter() - started
                validation = trainer.validation_loss(number)
                epochs.append(Epoch(number, loss, validation, images, seconds))
                context.on_epoch(epochs[-1])
                context.keep(epochs, trainer.weights)
        finally:
            trainer.close()
        return FitResult(
            trainer.weights,
            tuple(epochs),
            samples_seen=images * task.epochs,
            steps=trainer.steps * task.epochs,
            notes=tuple(_notes(task, trainer, network)),
        )

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Predict with BigDL on the executors."""
        ordering = task.options.ordering
        with quiet():
            _start_engine(task, context)
            network = Network(task.build_model(), ordering)
        network.set_weights(weights)
        rdd = samples.prediction_rdd(task, context, ordering)
        rows = network.model.predict(rdd, batch_per_thread=inference.BATCH).collect()
        return np.stack(rows).astype(np.float32, copy=False)


def jars() -> list[str]:
    """Return the paths of BigDL's jars, which its Python packages contain.

    Raises
    ------
    BackendError
        If they are missing; the message contains the command that installs them.
    """
    specification = importlib.util.find_spec("bigdl")
    folders = list(specification.submodule_search_locations or []) if specification else []
    found = sorted(str(jar) for root in folders for jar in Path(root).glob("share/*/lib/*.jar"))
    if not any("dllib" in jar for jar in found):
        raise BackendError(f"BigDL's jars are not installed: {INSTALL}")
    return found


def _start_engine(task: Task, context: RunContext) -> None:
    """Initialize BigDL's engine and check that it detected one single-core node per worker."""
    from bigdl.dllib.utils.common import get_node_and_core_number, init_engine

    quieten_engine(context.spark.sparkContext)
    init_engine()
    nodes, cores = get_node_and_core_number()
    if (nodes, cores) != (task.workers, 1):
        raise BackendError(
            f"BigDL detected {nodes} executors with {cores} cores, but the run has {task.workers} "
            "with 1: use the embedded cluster or a cluster of one-core executors"
        )


def _notes(task: Task, trainer: Trainer, network: Network) -> list[str]:
    rows = [shard.rows for shard in task.data.patient_shards("train", task.workers)]
    notes = left_out(task, rows, trainer.steps)
    if network.has_statistics and task.workers > 1:
        notes.append(
            f"Batch normalization uses the statistics of each worker's own "
            f"{task.worker_batch_size} images; its moving averages are the first worker's."
        )
    if task.options.exchange == "half":
        notes.append("Gradients and weights are truncated to 16 bits when sent between workers.")
    pixels = max(rows) * int(np.prod(task.data.image_shape))
    notes.append(
        "BigDL keeps all images of a worker in its executor as float32: "
        f"{4 * pixels / 2**20:,.0f} MiB here, growing with the number of images."
    )
    return [*notes, *trainer.notes]
