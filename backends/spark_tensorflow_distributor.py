"""spark-tensorflow-distributor: one TensorFlow worker for each task of a Spark barrier stage."""

from collections.abc import Sequence

import numpy as np

from backends import all_reduce, inference
from backends.all_reduce_worker import WorkerJob, shard_source, train
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask


class SparkTensorFlowDistributorOptions(Options):
    """When training ends early."""

    #: Epochs without a better validation loss after which training stops and the best epoch's
    #: weights are kept; None trains all epochs.
    patience: all_reduce.Patience = None


class SparkTensorFlowDistributor(Backend):
    """``MirroredStrategyRunner`` in barrier mode: all workers start together or none does."""

    name = "spark_tensorflow_distributor"
    packages = ("spark-tensorflow-distributor", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "spark_tensorflow_distributor")
    options = SparkTensorFlowDistributorOptions

    def synchronisation(self, task: TrainingTask) -> str:
        """Every step."""
        return all_reduce.SYNCHRONISATION

    def unsupported(self, task: TrainingTask) -> str | None:
        """Refuse shards that do not fill a batch."""
        return all_reduce.unsupported(task)

    def spark_conf(self, task: TrainingTask) -> dict[str, str]:
        """A failed worker fails the run."""
        return all_reduce.SPARK_CONF

    def warm_up(self, seed: int) -> None:
        """Import Keras and the runner; the executors do so meanwhile."""
        import keras
        import spark_tensorflow_distributor  # noqa: F401

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        """Train through a barrier stage."""
        options = self.options.model_validate(task.options.model_dump())
        return all_reduce.fit(task, context, _launch, options.patience)

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Predict with Keras on the executors; the framework has no prediction of its own."""
        return inference.predict(task, weights, context)


def _launch(job: WorkerJob, _: all_reduce.Follower) -> None:
    from spark_tensorflow_distributor import MirroredStrategyRunner

    runner = MirroredStrategyRunner(
        num_slots=job.task.workers,
        local_mode=False,
        use_gpu=False,
        use_custom_strategy=True,  # the runner's own has no time-outs
    )
    runner.run(_worker, job=job)


def _worker(job: WorkerJob) -> None:
    from pyspark import BarrierTaskContext

    train(job, BarrierTaskContext.get().partitionId(), shard_source)
