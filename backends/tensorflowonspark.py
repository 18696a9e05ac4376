"""TensorFlowOnSpark: one TensorFlow worker on each executor, found through a reservation server.

What its code does, and this module handles or records (TensorFlowOnSpark 2.2):

- On an error its ``shutdown`` stops Spark and exits the process; the error's own words come
  through the workers' line to the driver.
- ``feed_timeout`` counts from the end of feeding to the end of the epoch, so it would end a long
  epoch and not only a stuck one; a worker that dies or hangs is noticed through its line.
- Each row that Spark feeds costs three round trips to the executor's queue: a row here is a whole
  batch.
- The queue has no bound: with ``input_mode`` "spark" a worker's images of one epoch lie in the
  memory of its executor's machine.
- Its reservation server reads pickles from whoever connects, on every address of the machine: see
  ``reservation_server``.
- The queues of a worker are a server of ``multiprocessing`` on a socket in the file system, in a
  folder that is the user's alone, with a random key.
"""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.worker import Source, WorkerJob, shard_source, train
from backends.base import FitResult, RunContext, TrainingTask
from backends.errors import BackendError
from backends.reservation_server import reservations_on

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

#: Seconds; longer than any epoch, see above.
_FEED_TIMEOUT = 7 * 24 * 3600
#: Seconds to wait for the end of the workers' Spark job; ``shutdown`` waits for longer.
_JOB_LIMIT = 10.0


class TensorFlowOnSparkOptions(AllReduceOptions):
    """How images reach the workers, and when training ends early."""

    #: ``tensorflow``: each worker reads its Parquet shard; ``spark``: Spark tasks read it and feed
    #: the worker.
    input_mode: Literal["tensorflow", "spark"] = "tensorflow"


class TensorFlowOnSpark(AllReduceBackend[TensorFlowOnSparkOptions]):
    """``TFCluster`` with a chief and workers, no parameter server."""

    name = "tensorflowonspark"
    packages = ("tensorflowonspark", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "tensorflowonspark.TFSparkNode")

    def warm_up(self, seed: int) -> None:
        """Import Keras and TensorFlowOnSpark; the executors do so meanwhile."""
        import keras
        import tensorflowonspark.TFCluster  # noqa: F401

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask[TensorFlowOnSparkOptions], context: RunContext) -> FitResult:
        """Train in the chosen input mode."""
        options = task.options
        spark = context.spark.sparkContext
        if options.input_mode == "spark" and spark.master.startswith("local["):
            raise BackendError(
                f"input_mode 'spark' hangs on {spark.master}, where all tasks share one executor: "
                "use a cluster, or input_mode 'tensorflow'"
            )

        def launch(job: WorkerJob, follower: driver.Follower) -> None:
            _launch(spark, job, follower, feeds=options.input_mode == "spark")

        return driver.fit(task, context, launch, options.patience)


def _launch(spark: "SparkContext", job: WorkerJob, follower: driver.Follower, feeds: bool) -> None:
    """Start the workers, feed them if they are fed, and take the cluster down."""
    from tensorflowonspark import TFCluster

    os.environ["TFOS_SERVER_HOST"] = job.address.host
    bind = spark.getConf().get("spark.driver.bindAddress", job.address.host)
    try:
        with reservations_on(bind):
            cluster = TFCluster.run(
                spark,
                _fed_worker if feeds else _reading_worker,
                {"job": job},
                num_executors=job.task.workers,
                num_ps=0,
                input_mode=TFCluster.InputMode.SPARK if feeds else TFCluster.InputMode.TENSORFLOW,
                master_node="chief",  # without one, TF_CONFIG is not set
                reservation_timeout=int(driver.START_LIMIT),
            )
            if feeds:
                _feed(spark, job, follower, cluster)
            follower.wait_until_done()
            _wait_for_jobs(spark)
            cluster.shutdown(timeout=-1)  # its alarm works in the main thread only
    except SystemExit as error:
        reason = TFCluster.tf_status.get("error", "it gave no reason")
        raise BackendError(f"TensorFlowOnSpark ended the process: {reason}") from error


def _feed(spark: "SparkContext", job: WorkerJob, follower: driver.Follower, cluster: Any) -> None:
    """Feed the workers of ``cluster`` epoch by epoch."""
    epoch = job.first_epoch
    while follower.continues_after(epoch - 1):
        cluster.train(_epoch_rdd(spark, job, epoch), 1, feed_timeout=_FEED_TIMEOUT)
        epoch += 1


def _wait_for_jobs(spark: "SparkContext") -> None:
    """Wait until the workers' job has ended: ``shutdown`` looks for that every five seconds."""
    deadline = time.monotonic() + _JOB_LIMIT
    while spark.statusTracker().getActiveJobsIds() and time.monotonic() < deadline:
        time.sleep(0.1)


def _epoch_rdd(spark: "SparkContext", job: WorkerJob, epoch: int) -> "RDD":
    """Return an RDD with one partition for each worker and one row for each batch.

    A task feeds the worker of the executor on which it happens to run, so it reads that worker's
    shard. No executor gets two tasks of an epoch: one ends when its worker has used its rows,
    which no worker can do before all have theirs.
    """

    def batches(_: Iterator[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        from tensorflowonspark.util import read_executor_id

        return shard_source(job, read_executor_id())(epoch)

    return spark.parallelize(range(job.task.workers), job.task.workers).mapPartitions(batches)


def _reading_worker(arguments: dict[str, WorkerJob], context: Any) -> None:
    train(arguments["job"], context.executor_id, shard_source)


def _fed_worker(arguments: dict[str, WorkerJob], context: Any) -> None:
    feed = context.get_data_feed()

    def source(job: WorkerJob, _: int) -> Source:
        def batches(_: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for _ in range(job.steps):
                yield from feed.next_batch(1)

        return batches

    train(arguments["job"], context.executor_id, source)
