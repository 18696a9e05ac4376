"""Elephas: Keras models on RDDs, averaged each epoch or through a parameter server.

What its code does, and this module handles or records (Elephas 7.3):

- ``SparkModel`` is synchronous whatever its ``mode`` says; asynchronous training needs
  ``AsynchronousSparkModel``.
- A partition with no more rows than the batch size is skipped and still counted in the average:
  such a task is refused here.
- ``num_workers`` would repartition the RDD and so mix the patients of the workers: it is left out,
  and the RDD has one partition for each worker.
- Batches come from ``fit``'s ``batch_size``; the constructor's is ignored.
- Images are shuffled here, by the seed, and not by Keras on the worker, which has no seed.
- A worker builds the network anew for each epoch, and with it generators for dropout that nothing
  has seeded: they are given a start of their own for each worker and epoch.
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
    """How the workers of Elephas agree."""

    mode: Literal["synchronous", "asynchronous", "hogwild"] = "synchronous"
    #: How often a worker talks to the parameter server; synchronous training knows only epochs.
    frequency: Literal["epoch", "batch"] = "epoch"
    #: Of the parameter server on the driver; None takes a free one.
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


Task = TrainingTask[ElephasOptions]


class Elephas(Backend[ElephasOptions]):
    """Local training on each worker; weights meet on the driver."""

    name = "elephas"
    packages = ("elephas", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("elephas.spark_model",)
    tunable: ClassVar[Tunable] = {
        "mode": Choices(("synchronous", "asynchronous", "hogwild")),
        "frequency": Choices(("epoch", "batch")),
    }

    def synchronisation(self, task: Task) -> str:
        """Depends on the mode."""
        mode, frequency = task.options.mode, task.options.frequency
        if mode == "synchronous":
            return "weights averaged once per epoch (local SGD); optimiser state starts anew"
        locking = "with locks" if mode == "asynchronous" else "without locks (hogwild)"
        return f"parameter server {locking}, each worker's full update every {frequency}"

    def repeats(self, options: ElephasOptions) -> bool:
        """Updates reach a parameter server in any order."""
        return options.mode == "synchronous"

    def unsupported(self, task: Task) -> str | None:
        """Refuse what Elephas would skip or ignore without a word."""
        options = task.options
        if options.mode == "synchronous" and options.frequency == "batch":
            return "synchronous Elephas averages per epoch only: use mode asynchronous or hogwild"
        if options.mode != "synchronous" and options.port and not is_free(options.port):
            return (
                f"port {options.port} is taken on this machine: name another for Elephas's "
                "parameter server, or leave the port out"
            )
        smallest = min(shard.rows for shard in task.data.shards("train", task.workers))
        if smallest <= task.worker_batch_size:
            return (
                f"Elephas skips a worker whose images ({smallest}) do not exceed its batch size "
                f"({task.worker_batch_size}): use fewer --workers or a smaller --batch-size"
            )
        return None

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Go round an executor that fails."""
        return executors.try_elsewhere(task.workers)

    def warm_up(self, seed: int) -> None:
        """Import Elephas here; ``executor_modules`` are imported on the executors meanwhile."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Train in the chosen mode, one RDD partition for each worker."""
        if task.options.mode == "synchronous":
            return _fit_synchronous(task, context)
        return _fit_with_server(task, context)

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Predict with Keras on the executors; Elephas's own predict does the same on an RDD."""
        return inference.predict(task, weights, context)


def training_rdd(task: Task, context: RunContext, epoch: int) -> "RDD":
    """Return an RDD of (pixels (h, w, c), label) with one partition for each worker.

    Executors read their shard from Parquet when the RDD is used; the driver sees no pixel.
    """
    shards = task.data.shards("train", task.workers)
    seed, shuffle = task.seed, task.shuffle

    def rows(numbered: Iterator[Shard]) -> Iterator[tuple[np.ndarray, int]]:
        for shard in numbered:
            batches = ShardReader(shard).batches(256, seed=seed, epoch=epoch, shuffle=shuffle)
            for pixels, labels in batches:
                yield from zip(pixels, labels, strict=True)

    return context.spark.sparkContext.parallelize(shards, task.workers).mapPartitions(rows)


def _fit_synchronous(task: Task, context: RunContext) -> FitResult:
    """Average after every epoch, one call to Elephas for each.

    Elephas itself starts each of its epochs from nothing but the averaged weights, so a call for
    each epoch trains as one call for all would, and lets validation happen in between.
    """
    from elephas.spark_model import SparkModel

    model = task.compiled_model()
    context.verify_initial_weights(model.get_weights())
    spark_model = SparkModel(model)
    shard_rows = [shard.rows for shard in task.data.shards("train", task.workers)]
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
        # The weights are all there is: the optimisers start anew in each epoch.
        context.keep(epochs, weights)
    notes = []
    if max(shard_rows) > min(shard_rows):
        notes.append(
            f"Elephas averages workers without regard to their {min(shard_rows)} to "
            f"{max(shard_rows)} images."
        )
    return _result(spark_model.master_network.get_weights(), epochs, shard_rows, task, notes)


def _fit_with_server(task: Task, context: RunContext) -> FitResult:
    """Train all epochs in one call; workers exchange weights through the parameter server."""
    address = _listen_on_driver_address(context)
    # Before anything takes time: an executor may be lost while Elephas is imported.
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
        parameter_server_mode="http",  # the socket server burns a core and hung once
    )
    secret = secrets.token_hex(32)
    server = ParameterServer(
        spark_model.serialized_model, (address, options.port or 0), options.mode, secret
    )
    spark_model.parameter_server = server
    spark_model.client = ParameterClient(server.port, secret)
    losses = context.spark.sparkContext.accumulator([], _list_parameter())
    repeated = context.spark.sparkContext.accumulator(0)
    shard_rows = [shard.rows for shard in task.data.shards("train", task.workers)]
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
        "Elephas tells losses of asynchronous epochs only when training has ended; nothing is kept "
        "before that to go on from."
    ]
    if not by_epoch:
        notes.append("With frequency 'batch' Elephas tells no training loss.")
    if repeated.value or executors.lost(context.spark.sparkContext, present):
        notes.append(
            "An executor was lost or failed: its images were trained on again from the start, on "
            "top of whatever updates it had sent before."
        )
    if task.imbalance == "sampling":
        notes.append("Images are drawn once, for all epochs.")
    notes.append("Workers apply their full update, not a share of it (no division by workers).")
    return _result(weights, epochs, shard_rows, task, notes)


def _listen_on_driver_address(context: RunContext) -> str:
    """Let the parameter server listen where the driver does, and nowhere else; return the address.

    Elephas reads the variable for the address that it gives to the workers.
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
        "Elephas turns all images of a worker into one array: "
        f"{max(shard_rows) * task.data.image_bytes / 2**20:,.0f} MiB here, and more with more "
        "images."
    )
    return FitResult(weights, tuple(epochs), sum(shard_rows) * task.epochs, steps, tuple(notes))


def _mean_by_epoch(reported: list[tuple[int, float]], epochs: int) -> dict[int, float]:
    """Return the workers' mean loss for each epoch from (epoch, loss) pairs."""
    return {
        number: float(np.mean([loss for epoch, loss in reported if epoch == number]))
        for number in range(1, epochs + 1)
        if any(epoch == number for epoch, _ in reported)
    }


def _random_starts(seed: int, epoch: int) -> Any:
    """Return a Keras callback that seeds a worker's dropout and random augmentation.

    Elephas calls ``fit`` once for each epoch on a worker; ``epoch`` is that of the first call.
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
    """Return a Keras callback that tells the driver each epoch's loss, and of second tries.

    Elephas calls ``fit`` once for each epoch on a worker, so calls are counted here.
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
