"""Elephas: Keras models on RDDs, averaged each epoch or updated through a parameter server.

Properties of Elephas 7.3 that this module handles or records:

- ``SparkModel`` is synchronous regardless of its ``mode``; asynchronous training needs
  ``AsynchronousSparkModel``.
- A partition with no more rows than the batch size is skipped but still counted in the average, so
  this module refuses such a task.
- ``num_workers`` would repartition the RDD and thus mix the patients of the workers. It is omitted,
  and the RDD has one partition for each worker.
- The batch size is that of ``fit``; the one of the constructor is ignored.
- Keras has no seed on a worker, so images are shuffled here with the seed of the task.
- A worker rebuilds the network for each epoch, including unseeded random generators for dropout.
  They are seeded here separately for each worker and epoch.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from backends import executors, inference
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.keras_state import set_random_starts
from backends.ports import is_free
from backends.search import Choices, Tunable
from data.shards import Shard, ShardReader

if TYPE_CHECKING:
    from pyspark import RDD


class ElephasOptions(Options):
    """Synchronization of the workers."""

    #: ``synchronous``: weights averaged once per epoch; ``asynchronous``, ``hogwild``: parameter
    #: server with and without locks.
    mode: Literal["synchronous", "asynchronous", "hogwild"] = "synchronous"
    #: How often a worker contacts the parameter server; synchronous training supports only epochs.
    frequency: Literal["epoch", "batch"] = "epoch"
    #: Port of the parameter server on the driver; None selects a free one.
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


Task = TrainingTask[ElephasOptions]


class Elephas(Backend[ElephasOptions]):
    """Local training on each worker; weights are combined on the driver."""

    name = "elephas"
    packages = ("elephas", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("elephas.spark_model",)
    tunable: ClassVar[Tunable] = {
        "mode": Choices(("synchronous", "asynchronous", "hogwild")),
        "frequency": Choices(("epoch", "batch")),
    }

    def synchronisation(self, task: Task) -> str:
        """Return the synchronization of the chosen mode."""
        mode, frequency = task.options.mode, task.options.frequency
        if mode == "synchronous":
            return "weights averaged once per epoch (local SGD); optimiser state starts anew"
        locking = "with locks" if mode == "asynchronous" else "without locks (hogwild)"
        return f"parameter server {locking}, each worker's full update every {frequency}"

    def repeats(self, options: ElephasOptions) -> bool:
        """Return True in synchronous mode; a parameter server receives updates in any order."""
        return options.mode == "synchronous"

    def unsupported(self, task: Task) -> str | None:
        """Refuse options and images that Elephas would silently ignore or skip."""
        options = task.options
        if task.optimizer.policy is not None:
            return (
                "Elephas's workers start new optimizers, which count their steps anew: give "
                "--set optimizer.policy=null, or use another backend"
            )
        if options.mode == "synchronous" and options.frequency == "batch":
            return "synchronous Elephas averages per epoch only: use mode asynchronous or hogwild"
        if options.mode != "synchronous" and options.port and not is_free(options.port):
            return (
                f"port {options.port} is taken on this machine: choose another port for Elephas's "
                "parameter server, or omit the port"
            )
        smallest = min(shard.rows for shard in task.data.patient_shards("train", task.workers))
        if smallest <= task.worker_batch_size:
            return (
                f"Elephas skips a worker whose images ({smallest}) do not exceed its batch size "
                f"({task.worker_batch_size}): use fewer --workers or a smaller --batch-size"
            )
        return None

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Retry a task that failed on one executor on another."""
        return executors.try_elsewhere(task.workers)

    def warm_up(self, seed: int) -> None:
        """Import Keras while the executors import ``executor_modules``."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Train in the chosen mode, one RDD partition for each worker."""
        if task.options.mode == "synchronous":
            return _fit_synchronous(task, context)
        return _fit_with_server(task, context)

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Predict with Keras on the executors, as the ``predict`` of Elephas does on an RDD."""
        return inference.predict(task, weights, context)


def training_rdd(task: Task, context: RunContext, epoch: int) -> "RDD":
    """Return an RDD of (pixels (h, w, c), label) with one partition for each worker.

    Executors read their shard from Parquet when the RDD is used; the driver does not load pixels.
    """
    shards = task.data.patient_shards("train", task.workers)
    seed, shuffle = task.seed, task.shuffle

    def rows(numbered: Iterator[Shard]) -> Iterator[tuple[np.ndarray, int]]:
        for shard in numbered:
            batches = ShardReader(shard).batches(256, seed=seed, epoch=epoch, shuffle=shuffle)
            for pixels, labels in batches:
                yield from zip(pixels, labels, strict=True)

    return context.spark.sparkContext.parallelize(shards, task.workers).mapPartitions(rows)


def _fit_synchronous(task: Task, context: RunContext) -> FitResult:
    """Train with one call to Elephas for each epoch, averaging after each.

    Elephas itself starts each epoch from the averaged weights only, so one call for each epoch is
    equivalent to one call for all epochs, and allows validation in between.
    """
    from elephas.spark_model import SparkModel

    model = task.compiled_model()
    context.verify_initial_weights(model.get_weights())
    spark_model = SparkModel(model)
    shard_rows = [shard.rows for shard in task.data.patient_shards("train", task.workers)]
    epochs: list[Epoch] = []
    if (kept := context.checkpoint()) is not None:
        epochs += kept.epochs
        spark_model.master_network.set_weights(kept.weights)
    for number in range(len(epochs) + 1, task.epochs + 1):
        rdd = training_rdd(task, context, number)
        started = perf_counter()
        spark_model.fit(
            rdd,
            epochs=1,
            batch_size=task.worker_batch_size,
            verbose=0,
            shuffle=False,
            callbacks=[_random_starts(task.seed, number)],
        )
        seconds = perf_counter() - started
        histories = spark_model.training_histories[-task.workers :]
        losses = [history["loss"][-1] for history in histories]
        weights = spark_model.master_network.get_weights()
        epoch = Epoch(
            number,
            float(np.average(losses, weights=shard_rows)),
            inference.validation_loss(task, weights, context),
            sum(shard_rows),
            seconds,
        )
        epochs.append(epoch)
        context.on_epoch(epoch)
        # The weights are the complete state, because the optimizers are reset in each epoch.
        context.keep(epochs, weights)
    notes = []
    if max(shard_rows) > min(shard_rows):
        notes.append(
            "Elephas averages workers without weighting them by their number of images "
            f"({min(shard_rows)} to {max(shard_rows)})."
        )
    return _result(spark_model.master_network.get_weights(), epochs, shard_rows, task, notes)


def _fit_with_server(task: Task, context: RunContext) -> FitResult:
    """Train all epochs in one call; workers exchange weights through the parameter server."""
    address = _listen_on_driver_address(context)
    # Listed before the slow import of Elephas, during which an executor may be lost.
    present = executors.alive(context.spark.sparkContext)
    from elephas.spark_model import AsynchronousSparkModel

    from backends.elephas_server import ParameterClient, ParameterServer

    options = task.options
    model = task.compiled_model()
    context.verify_initial_weights(model.get_weights())
    spark_model = AsynchronousSparkModel(
        model,
        mode=options.mode,
        frequency=options.frequency,
        parameter_server_mode="http",  # the socket server keeps a core busy and has hung
    )
    secret = secrets.token_hex(32)
    server = ParameterServer(
        spark_model.serialized_model, (address, options.port or 0), options.mode, secret
    )
    spark_model.parameter_server = server
    spark_model.client = ParameterClient(server.port, secret)
    losses = context.spark.sparkContext.accumulator([], _list_parameter())
    repeated = context.spark.sparkContext.accumulator(0)
    shard_rows = [shard.rows for shard in task.data.patient_shards("train", task.workers)]
    started = perf_counter()
    spark_model.fit(
        training_rdd(task, context, epoch=1),
        epochs=task.epochs,
        batch_size=task.worker_batch_size,
        verbose=0,
        shuffle=task.shuffle,
        callbacks=[_random_starts(task.seed, 1), _loss_recorder(losses, repeated)],
    )
    seconds = perf_counter() - started
    weights = spark_model.master_network.get_weights()
    validation = inference.validation_loss(task, weights, context)
    by_epoch = _mean_by_epoch(losses.value, task.epochs)
    epochs = [
        Epoch(
            number,
            by_epoch.get(number),
            validation if number == task.epochs else None,
            sum(shard_rows),
            seconds / task.epochs,
        )
        for number in range(1, task.epochs + 1)
    ]
    for epoch in epochs:
        context.on_epoch(epoch)
    notes = [
        "Elephas reports losses of asynchronous epochs only after training has ended; no "
        "checkpoint is saved before that."
    ]
    if not by_epoch:
        notes.append("With frequency 'batch' Elephas reports no training loss.")
    if repeated.value or executors.lost(context.spark.sparkContext, present):
        notes.append(
            "An executor was lost or failed: training on its images was repeated from the start, "
            "in addition to the updates that it had already sent."
        )
    if task.imbalance == "sampling":
        notes.append("Images are sampled once for all epochs.")
    notes.append("Workers apply their full updates (not divided by the number of workers).")
    return _result(weights, epochs, shard_rows, task, notes)


def _listen_on_driver_address(context: RunContext) -> str:
    """Restrict the parameter server to the address of the driver, and return that address.

    Elephas reads the address that it passes to the workers from ``SPARK_LOCAL_IP``.
    """
    address = str(context.spark.sparkContext.getConf().get("spark.driver.host"))
    os.environ["SPARK_LOCAL_IP"] = address
    return address


def _result(
    weights: list[np.ndarray],
    epochs: list[Epoch],
    shard_rows: list[int],
    task: Task,
    notes: list[str],
) -> FitResult:
    steps = -(-max(shard_rows) // task.worker_batch_size) * task.epochs
    notes.append(
        "Elephas converts all images of a worker to one array: "
        f"{max(shard_rows) * task.data.image_bytes / 2**20:,.0f} MiB here, proportional to the "
        "number of images."
    )
    return FitResult(weights, tuple(epochs), sum(shard_rows) * task.epochs, steps, tuple(notes))


def _mean_by_epoch(reported: list[tuple[int, float]], epochs: int) -> dict[int, float]:
    """Return the mean loss of all workers for each epoch, from (epoch, loss) pairs."""
    return {
        number: float(np.mean([loss for epoch, loss in reported if epoch == number]))
        for number in range(1, epochs + 1)
        if any(epoch == number for epoch, _ in reported)
    }


def _random_starts(seed: int, epoch: int) -> Any:
    """Return a Keras callback that seeds dropout and random augmentation of a worker.

    Elephas calls ``fit`` once for each epoch on a worker; ``epoch`` is the number of the epoch of
    the first call.
    """
    import keras

    class RandomStarts(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.epoch = epoch

        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            from pyspark import TaskContext

            task = TaskContext.get()
            worker = task.partitionId() if task else 0
            set_random_starts(self.model, [seed, self.epoch, worker])
            self.epoch += 1

    return RandomStarts()


def _list_parameter() -> Any:
    from pyspark.accumulators import AccumulatorParam

    class Lists(AccumulatorParam):
        def zero(self, value: list) -> list:
            return []

        def addInPlace(self, value1: list, value2: list) -> list:  # noqa: N802
            return value1 + value2

    return Lists()


def _loss_recorder(losses: Any, repeated: Any) -> Any:
    """Return a Keras callback that reports the loss of each epoch and retried tasks to the driver.

    Elephas calls ``fit`` once for each epoch on a worker, so the callback counts calls.
    """
    import keras

    class LossRecorder(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            from pyspark import TaskContext

            task = TaskContext.get()
            if self.calls == 0 and task is not None and task.attemptNumber():
                repeated.add(1)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.calls += 1
            losses.add([(self.calls, float((logs or {}).get("loss", float("nan"))))])

    return LossRecorder()
