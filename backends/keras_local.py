"""Plain Keras in one process, without Spark: the baseline for all distributed backends."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import inference
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.keras_state import set_training_state, training_state
from data.shards import ShardReader

if TYPE_CHECKING:
    import tensorflow as tf


class KerasLocal(Backend[Options]):
    """``keras.Model.fit`` with one thread for each worker of the other backends."""

    name = "keras_local"
    needs_spark = False

    def synchronisation(self, task: TrainingTask) -> str:
        """Return that there is no synchronization."""
        return "none: one process"

    def warm_up(self, seed: int) -> None:
        """Import Keras."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        """Train on the whole training split, streamed in batches of the global size."""
        model = task.compiled_model()
        context.verify_initial_weights(model.get_weights())
        reader = ShardReader(task.data.shard("train"))
        rows = reader.shard.rows
        steps = -(-rows // task.global_batch_size)
        epochs: list[Epoch] = []
        if (kept := context.checkpoint()) is not None:
            epochs += kept.epochs
            model.set_weights(kept.weights)
            set_training_state(model, kept.state)
        for number in range(len(epochs) + 1, task.epochs + 1):
            started = perf_counter()
            history = model.fit(
                batches(reader, task, number),
                # Without a number of steps Keras requests one batch too many, and the graph of
                # that step counts it in Adam's bias correction before it fails.
                steps_per_epoch=steps,
                shuffle=False,  # the batches are already shuffled with the seed
                verbose=0,
                callbacks=[_progress(context, number, task.global_batch_size)],
            )
            seconds = perf_counter() - started
            validation = inference.validation_loss(task, model.get_weights(), context)
            loss = float(history.history["loss"][-1])
            epochs.append(Epoch(number, loss, validation, rows, seconds))
            context.on_epoch(epochs[-1])
            if context.keeps_checkpoints:
                context.keep(epochs, model.get_weights(), training_state(model))
        samples_seen, steps_taken = rows * task.epochs, int(model.optimizer.iterations)
        return FitResult(model.get_weights(), tuple(epochs), samples_seen, steps_taken)

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Predict in this process."""
        return inference.predict(task, weights, context)


def batches(reader: ShardReader, task: TrainingTask, epoch: int) -> "tf.data.Dataset":
    """Return the batches of one epoch, (pixels, int32 labels), as a TensorFlow data set."""
    import tensorflow as tf

    def produce() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return reader.batches(
            task.global_batch_size, seed=task.seed, epoch=epoch, shuffle=task.shuffle
        )

    signature = (
        tf.TensorSpec((None, *task.data.image_shape), task.data.dtype),
        tf.TensorSpec((None,), tf.int32),
    )
    return tf.data.Dataset.from_generator(produce, output_signature=signature).prefetch(2)


def _progress(context: RunContext, epoch: int, batch_size: int) -> Any:
    import keras

    class Progress(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            context.on_batch(epoch, (batch + 1) * batch_size, (logs or {}).get("loss", 0.0))

    return Progress()
