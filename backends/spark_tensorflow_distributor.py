"""spark-tensorflow-distributor: one TensorFlow worker in each task of a Spark barrier stage."""

from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.job import WorkerJob, shard_source
from backends.all_reduce.tensorflow_replica import train
from backends.base import FitResult, RunContext, TrainingTask


class SparkTensorFlowDistributor(AllReduceBackend[AllReduceOptions]):
    """``MirroredStrategyRunner`` in barrier mode: either all workers start together or none."""

    name = "spark_tensorflow_distributor"
    packages = ("spark-tensorflow-distributor", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "spark_tensorflow_distributor")

    def warm_up(self, seed: int) -> None:
        """Import Keras and the runner, while the executors do the same."""
        import keras
        import spark_tensorflow_distributor  # noqa: F401

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask[AllReduceOptions], context: RunContext) -> FitResult:
        """Train in a barrier stage."""
        return driver.fit(task, context, _launch, task.options.patience)


def _launch(job: WorkerJob, _: driver.Follower) -> None:
    from spark_tensorflow_distributor import MirroredStrategyRunner

    runner = MirroredStrategyRunner(
        num_slots=job.task.workers,
        local_mode=False,
        use_gpu=False,
        use_custom_strategy=True,  # the strategy of the runner has no timeouts
    )
    runner.run(_worker, job=job)


def _worker(job: WorkerJob) -> None:
    from pyspark import BarrierTaskContext

    train(job, BarrierTaskContext.get().partitionId(), shard_source)
