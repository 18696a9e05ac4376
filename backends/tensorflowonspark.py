"""TensorFlowOnSpark: one TensorFlow worker on each executor, found through a reservation server.

Properties of TensorFlowOnSpark 2.2 that this module handles or records:

- On an error ``shutdown`` stops Spark and exits the process; the original error message reaches
  the driver through the connection of the worker.
- ``feed_timeout`` is measured from the end of feeding to the end of the epoch, so it would abort
  not only a stuck epoch but also a long one. A worker that dies or hangs is detected through its
  connection to the driver instead.
- Each row that Spark feeds costs three round trips to the queue of the executor, so a row is a
  whole batch here.
- The queue is unbounded: with ``input_mode`` "spark" the images of a worker in one epoch are held
  in the memory of the executor's machine.
- The reservation server reads pickles from every client, on every address of the machine; see
  ``reservation_server``.
- The queues of a worker belong to a server of ``multiprocessing`` on a Unix socket, in a folder
  that only the user can access, with a random key.
"""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.job import Source, WorkerJob, shard_source
from backends.all_reduce.tensorflow_replica import train
from backends.base import FitResult, RunContext, TrainingTask
from backends.errors import BackendError
from backends.reservation_server import reservations_on
from data.failures import spark_cause

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

#: Timeout in seconds that is longer than any epoch; see the module docstring.
_FEED_TIMEOUT = 7 * 24 * 3600
#: Seconds to wait for the end of the workers' Spark job; ``shutdown`` waits for longer.
_JOB_LIMIT = 10.0


class TensorFlowOnSparkOptions(AllReduceOptions):
    """Input mode and early stopping."""

    #: ``tensorflow``: each worker reads its Parquet shard; ``spark``: Spark tasks read the shard
    #: and feed the worker.
    input_mode: Literal["tensorflow", "spark"] = "tensorflow"


class TensorFlowOnSpark(AllReduceBackend[TensorFlowOnSparkOptions]):
    """``TFCluster`` with a chief and workers, without a parameter server."""

    name = "tensorflowonspark"
    packages = ("tensorflowonspark", "keras", "tensorflow-cpu", "pyspark")
    executor_modules = ("keras", "tensorflowonspark.TFSparkNode")

    def warm_up(self, seed: int) -> None:
        """Import Keras and TensorFlowOnSpark, while the executors do the same."""
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
    """Start the workers, feed them if ``feeds`` is true, and shut down the cluster."""
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
            cluster.shutdown(timeout=-1)  # the timeout uses an alarm, which needs the main thread
    except SystemExit as error:
        reason = str(TFCluster.tf_status.get("error", "no reason was given"))
        reason = spark_cause(reason) or reason
        raise BackendError(f"TensorFlowOnSpark ended the process: {reason}") from error


def _feed(spark: "SparkContext", job: WorkerJob, follower: driver.Follower, cluster: Any) -> None:
    """Feed the workers of ``cluster`` epoch by epoch."""
    epoch = job.first_epoch
    while follower.continues_after(epoch - 1):
        cluster.train(_epoch_rdd(spark, job, epoch), 1, feed_timeout=_FEED_TIMEOUT)
        epoch += 1


def _wait_for_jobs(spark: "SparkContext") -> None:
    """Wait until the job of the workers has ended, which ``shutdown`` checks every five seconds."""
    deadline = time.monotonic() + _JOB_LIMIT
    while spark.statusTracker().getActiveJobsIds() and time.monotonic() < deadline:
        time.sleep(0.1)


def _epoch_rdd(spark: "SparkContext", job: WorkerJob, epoch: int) -> "RDD":
    """Return an RDD with one partition for each worker and one row for each batch.

    A task feeds the worker of the executor on which it runs, so it reads the shard of that worker.
    No executor runs two tasks of an epoch: a task ends only after its worker has used the rows,
    which is not possible before all workers have received theirs.
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
