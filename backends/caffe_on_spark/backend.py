"""CaffeOnSpark's way of training on this Spark: a solver of Caffe in each task of a barrier stage.

CaffeOnSpark (2016 to 2017) needs Spark 1 or 2 and its own fork of Caffe. This backend does the same
with Caffe's Python package: each worker computes the gradients of its shard, they are averaged over
the workers at every step, and each worker's solver applies the mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import inference
from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.job import WorkerJob
from backends.base import FitResult, RunContext, TrainingTask
from backends.caffe_on_spark import solver
from backends.caffe_on_spark.engine import QUIET, Classifier, caffe
from backends.caffe_on_spark.network import CaffeNetwork, obstacle, translate

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

Task = TrainingTask[AllReduceOptions]


class CaffeOnSpark(AllReduceBackend[AllReduceOptions]):
    """Caffe's solver on each worker, with the Keras network written as a Caffe network."""

    name = "caffe_on_spark"
    packages = ("keras", "pyspark")
    executor_modules = ("caffe",)
    #: The workers prove to each other that they have the secret of the run.
    listens_unprotected = False

    def synchronisation(self, task: Task) -> str:
        """Return that gradients are averaged at every step."""
        return "gradients averaged over all workers at every step (Caffe's solvers)"

    def unsupported(self, task: Task) -> str | None:
        """Refuse augmentation, and optimizers whose steps Caffe computes differently."""
        if task.model.augmentation:
            return (
                "Caffe has no layers for random flips and rotations: omit augmentation, or use "
                "another backend"
            )
        if (reason := driver.unsupported(task)) is not None:
            return reason
        shards = task.data.patient_shards("train", task.workers)
        steps = min(shard.rows for shard in shards) // max(1, task.worker_batch_size)
        return solver.obstacle(task.optimizer, steps * task.epochs)

    def unsupported_network(self, task: Task) -> str | None:
        """Refuse networks with layers that are not written for Caffe."""
        return obstacle(task.build_model())

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Limit the log of Caffe on the executors to errors."""
        environment = {f"spark.executorEnv.{name}": value for name, value in QUIET.items()}
        return {**super().spark_conf(task), **environment}

    def warm_up(self, seed: int) -> None:
        """Import Keras, which builds the network that is translated, and Caffe for its version."""
        import keras

        caffe()
        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Train in a barrier stage."""
        model = task.build_model()
        network = translate(model, task.worker_batch_size, task.loss_weights)
        spark = context.spark.sparkContext
        shared = spark.broadcast(model.get_weights())

        def launch(job: WorkerJob, _: driver.Follower) -> None:
            _launch(spark, job, network, shared)

        try:
            result = driver.fit(task, context, launch, task.options.patience)
        finally:
            shared.unpersist()
        # Caffe is built, not installed, so that its version is not among those of the packages.
        version = caffe().__version__
        note = f"Trained by Caffe {version}, whose dropout masks differ from those of Keras."
        return replace(result, notes=(*result.notes, note))

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Predict with Caffe on the executors."""
        network = translate(task.build_model())
        return inference.predict(
            task, weights, context, classifier_of=partial(_classifier, network)
        )


def _launch(
    spark: "SparkContext", job: WorkerJob, network: CaffeNetwork, shared: "Broadcast"
) -> None:
    numbers = spark.parallelize(range(job.task.workers), job.task.workers)
    numbers.barrier().mapPartitions(partial(_work, job, network, shared)).collect()


def _work(job: WorkerJob, network: CaffeNetwork, shared: "Broadcast", _: Any) -> list[Any]:
    """Train in a task of the barrier stage."""
    from pyspark import BarrierTaskContext

    from backends.caffe_on_spark.replica import train

    context = BarrierTaskContext.get()
    train(job, context.partitionId(), network, shared.value, context.allGather)
    return []


def _classifier(
    network: CaffeNetwork, weights: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    classifier = Classifier(network)
    classifier.weights.write(weights)
    return classifier
