"""spark-tensorflow-distributor: one TensorFlow worker for each task of a Spark barrier stage."""

from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.worker import WorkerJob, shard_source, train
from backends.base import FitResult, RunContext, TrainingTask


class SparkTensorFlowDistributor(AllReduceBackend[AllReduceOptions]):
    """``MirroredStrategyRunner`` in barrier mode: all workers start together or none does."""

    name = "spark_tensorflow_distributor"
    packages = ("spark-tensorflow-distributor", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "spark_tensorflow_distributor")

    def warm_up(self, seed: int) -> None:
        """Import Keras and the runner; the executors do so meanwhile."""
        import keras
        import spark_tensorflow_distributor  # noqa: F401

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask[AllReduceOptions], context: RunContext) -> FitResult:
        """Train through a barrier stage."""
        return driver.fit(task, context, _launch, task.options.patience)


def _launch(job: WorkerJob, _: driver.Follower) -> None:
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
