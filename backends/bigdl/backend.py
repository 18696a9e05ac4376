"""The backend: what BigDL can train, what it needs of Spark, and a run from start to end."""

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
from backends.search import Choices, Tunable

INSTALL = "uv sync --group bigdl"
#: Networks whose every layer is translated; asking Keras would cost its import.
_TRANSLATED = ("small_cnn", "lesion_cnn", "mini_xception")


class BigDLOptions(Options):
    """How BigDL computes and communicates."""

    #: ``th``: channels first, the faster; ``tf``: channels last.
    ordering: Ordering = "th"
    #: ``full``: gradients and weights travel as float32; ``half``: cut to 16 bits.
    exchange: Exchange = "full"


Task = TrainingTask[BigDLOptions]


class BigDL(Backend[BigDLOptions]):
    """Synchronous training on the executors' JVMs, parameters sharded over the workers.

    Reproducible without dropout. Its generators live in threads of the executors and take no
    seed, so that runs with it differ.
    """

    name = "bigdl"
    reproducible = False
    packages = ("bigdl-dllib-spark3", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "bigdl.dllib.utils.common")
    tunable: ClassVar[Tunable] = {"exchange": Choices(("full", "half"))}

    def synchronisation(self, task: Task) -> str:
        """Every step."""
        bits = "" if task.options.exchange == "full" else ", cut to 16 bits"
        return f"gradients averaged over all workers at every step (sharded all-reduce{bits})"

    def unsupported(self, task: Task) -> str | None:
        """Refuse shards that do not fill a batch."""
        try:
            jars()
        except BackendError as error:
            return str(error)
        if task.global_batch_size % task.workers:
            return (
                f"BigDL divides every batch equally: {task.global_batch_size} images cannot be "
                f"shared by {task.workers} workers"
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
        return obstacle(task.build_model())

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Put BigDL's jars on the class path and keep its cached models where they are."""
        return {
            "spark.jars": ",".join(jars()),
            "spark.executor.memory": f"{memory.executor_megabytes(task)}m",
            # Every step joins images and models that executors hold: on another executor a task
            # would quietly compute its model anew.
            "spark.locality.wait": "30s",
            "spark.shuffle.reduceLocality.enabled": "false",
            "spark.speculation": "false",
            # A lost task means a lost part of the model; the epoch is trained again instead.
            "spark.task.maxFailures": "1",
            "spark.stage.maxConsecutiveAttempts": "1",
            # What is kept lives for an epoch: a young generation of a third would lie idle.
            "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -XX:NewRatio=7",
            # MKL otherwise adds in an order that depends on where the JVM has put an array.
            "spark.executorEnv.MKL_CBWR": "AUTO",
        }

    def warm_up(self, seed: int) -> None:
        """Import Keras. BigDL imports pyspark, which another thread is importing now."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Train epoch by epoch; images go from the shards to the JVM in each."""
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
            trainer.go_on(kept.epoch, kept.weights)
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
    """Return the paths of BigDL's jars, which lie in its Python packages.

    Raises
    ------
    BackendError
        With the command that installs what is missing.
    """
    specification = importlib.util.find_spec("bigdl")
    folders = list(specification.submodule_search_locations or []) if specification else []
    found = sorted(str(jar) for root in folders for jar in Path(root).glob("share/*/lib/*.jar"))
    if not any("dllib" in jar for jar in found):
        raise BackendError(f"BigDL's jars are not installed: {INSTALL}")
    return found


def _start_engine(task: Task, context: RunContext) -> None:
    """Let BigDL count nodes and cores, and check that it found one core for each worker."""
    from bigdl.dllib.utils.common import get_node_and_core_number, init_engine

    quieten_engine(context.spark.sparkContext)
    init_engine()
    nodes, cores = get_node_and_core_number()
    if (nodes, cores) != (task.workers, 1):
        raise BackendError(
            f"BigDL sees {nodes} executors of {cores} cores, the run has {task.workers} of 1: "
            "use the embedded cluster or a cluster of one-core executors"
        )


def _notes(task: Task, trainer: Trainer, network: Network) -> list[str]:
    notes = []
    rows = [shard.rows for shard in task.data.shards("train", task.workers)]
    left_out = sum(rows) - trainer.steps * task.global_batch_size
    if left_out:
        notes.append(
            f"{left_out} of {sum(rows)} training images are left out of each epoch"
            f"{', others each time' if task.shuffle else ''}: workers have {min(rows)} to "
            f"{max(rows)} images and take {trainer.steps} whole batches of "
            f"{task.worker_batch_size}."
        )
    if network.has_statistics and task.workers > 1:
        notes.append(
            f"Batch normalisation uses the statistics of each worker's own "
            f"{task.worker_batch_size} images; its moving averages are the first worker's."
        )
    if task.options.exchange == "half":
        notes.append("Gradients and weights are cut to 16 bits on their way between workers.")
    pixels = max(rows) * int(np.prod(task.data.image_shape))
    notes.append(
        "BigDL keeps all images of a worker in its executor as float32: "
        f"{4 * pixels / 2**20:,.0f} MiB here, and more with more images."
    )
    return [*notes, *trainer.notes]
