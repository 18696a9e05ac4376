"""TorchDistributor: one PyTorch process for each task of a Spark barrier stage.

Properties of the class ``TorchDistributor`` of Spark 3.5 that this module handles or records:

- Each task starts torchrun, which starts the process that trains. That process does not inherit the
  search path for modules with which Spark provides the code of the run, so it is set here.
- The driver collects the output of the workers through a server that listens on all addresses of
  the machine and accepts every connection. It is not started; workers report their progress and
  their errors through their connection to the driver.
- If a worker fails, the error of Spark contains only the last lines of its output. The error
  itself arrives through the connection.
- The port of the store in which the workers find each other is determined by binding and closing a
  socket, so another process may occupy it in between. The run then fails when the store is opened.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backends.all_reduce import driver
from backends.all_reduce.backend import AllReduceBackend, AllReduceOptions
from backends.all_reduce.job import WorkerJob, shard_source
from backends.base import FitResult, RunContext, TrainingTask

if TYPE_CHECKING:
    from pyspark import SparkContext

#: Environment of the processes that compute with PyTorch. PyTorch requests the memory for each
#: result from the C library, which by default returns large blocks to the kernel when they are
#: freed, so that all their pages have to be provided again in the next step.
ENVIRONMENT = {
    "KERAS_BACKEND": "torch",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}


class TorchDistributor(AllReduceBackend[AllReduceOptions]):
    """``TorchDistributor`` in barrier mode: either all workers start together or none."""

    name = "torch_distributor"
    packages = ("torch", "keras", "pyspark")
    executor_modules = ("torch", "keras")

    def synchronisation(self, task: TrainingTask) -> str:
        """Return that gradients are averaged at every step."""
        return "gradients averaged over all workers at every step (DistributedDataParallel)"

    def spark_conf(self, task: TrainingTask) -> dict[str, str]:
        """Let Keras use PyTorch on the executors."""
        environment = {f"spark.executorEnv.{name}": value for name, value in ENVIRONMENT.items()}
        return {**super().spark_conf(task), **environment}

    def warm_up(self, seed: int) -> None:
        """Import Keras and the runner, while the executors import PyTorch."""
        import keras
        import pyspark.ml.torch.distributor  # noqa: F401

        keras.utils.set_random_seed(seed)

    def fit(self, task: TrainingTask[AllReduceOptions], context: RunContext) -> FitResult:
        """Train in a barrier stage."""
        spark = context.spark.sparkContext

        def launch(job: WorkerJob, _: driver.Follower) -> None:
            _launch(spark, job)

        return driver.fit(task, context, launch, task.options.patience)


def _launch(spark: "SparkContext", job: WorkerJob) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor as Distributor

    gpus = int(spark.getConf().get("spark.task.resource.gpu.amount", "0"))
    with _without_log_server():
        distributor = Distributor(
            num_processes=job.task.workers, local_mode=False, use_gpu=gpus > 0
        )
        # ``run`` calls this method with the function of TorchDistributor that starts torchrun.
        distributor._run(_worker, _start_agent, job)


def _worker(job: WorkerJob) -> None:
    from backends.torch_distributor.replica import train

    train(job, shard_source)


def _start_agent(parameters: dict[str, Any], program: str, *arguments: Any) -> None:
    """Start torchrun for ``program`` in a Spark task, and wait until it has ended."""
    from pyspark.ml.torch.distributor import TorchDistributor as Distributor

    os.environ.update(ENVIRONMENT)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    options, processes = Distributor._get_torchrun_args(
        parameters["local_mode"], parameters["num_processes"]
    )
    Distributor._execute_command(
        [
            sys.executable,
            *("-m", "backends.torch_distributor.agent"),
            *options,
            f"--nproc_per_node={processes}",
            program,
            *map(str, arguments),
        ]
    )


@contextmanager
def _without_log_server() -> Iterator[None]:
    from pyspark.ml.torch import distributor

    original: Callable[[], Any] = distributor.LogStreamingServer
    distributor.LogStreamingServer = _NoLogServer
    try:
        yield
    finally:
        distributor.LogStreamingServer = original


class _NoLogServer:
    """Takes the place of the server that collects the output of the workers."""

    port = -1

    def start(self, spark_host_address: str = "") -> None:
        """Start nothing."""

    def shutdown(self) -> None:
        """Do nothing."""
