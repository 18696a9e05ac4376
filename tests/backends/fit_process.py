"""``fit`` in a separate process, without the record of the harness.

This module is for tests that need a task which no experiment file can describe, that observe
training from outside, or that train several tasks in one Spark session.
"""

import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pyspark.sql import SparkSession

import backends
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.checkpoints import CheckpointFolder
from data.process_environment import for_spark
from experiments.processes.events import EventWriter
from experiments.processes.supervision import supervise
from experiments.runs.failures import plain_reason
from experiments.spark.cluster import Cluster, embedded_cluster
from models import checksum
from tests.backends.trained import Trained

MEMORY_MB = 1024


class FitError(Exception):
    """Raised if the fit fails; the message is the reason that a user would see."""


def fit(
    backend: str,
    task: TrainingTask,
    folder: Path,
    on_epoch: Callable[[Cluster], None] = lambda _: None,
    on_fit: Callable[[Cluster], None] = lambda _: None,
    time_limit: float = 240,
) -> FitResult:
    """Train ``task`` on an embedded cluster.

    ``on_fit`` is called when training begins, ``on_epoch`` when each epoch ends.

    Raises
    ------
    FitError
        If the backend raises an exception or exits.
    """
    (result,) = fit_all(backend, [task], folder, on_epoch, on_fit, time_limit)
    return result


def fit_all(
    backend: str,
    tasks: Sequence[TrainingTask],
    folder: Path,
    on_epoch: Callable[[Cluster], None] = lambda _: None,
    on_fit: Callable[[Cluster], None] = lambda _: None,
    time_limit: float = 240,
    checkpoints: Sequence[Path | None] = (),
) -> list[FitResult]:
    """Train ``tasks``, which have the same number of workers, in one Spark session.

    ``checkpoints`` are folders, one for each task.
    """
    listeners = {"fit": on_fit, "epoch": on_epoch}
    trained = train_all(
        backend, tasks, folder, listeners, time_limit, checkpoints=checkpoints, predicts=False
    )
    return [one.result for one in trained]


def train_all(
    backend: str,
    tasks: Sequence[TrainingTask],
    folder: Path,
    listeners: dict[str, Callable[[Cluster], None]] | None = None,
    time_limit: float = 240,
    *,
    checkpoints: Sequence[Path | None] = (),
    predicts: bool = True,
) -> list[Trained]:
    """Train ``tasks`` in one process, and predict the test images after each.

    A backend without Spark gets no cluster, and one thread for each worker of the task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = backends.create(backend)
    tasks = [_with_options(task, made) for task in tasks]
    (workers,) = {task.workers for task in tasks}
    threads = "1" if made.needs_spark else str(workers)
    environment = {
        **for_spark(),
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    largest = max(tasks, key=lambda task: _executor_megabytes(made, task))

    def call(event: dict[str, Any]) -> None:
        listener = (listeners or {}).get(event["event"])
        if listener is not None and cluster is not None:
            listener(cluster)

    cluster: Cluster | None = None
    with ExitStack() as stack:
        if made.needs_spark:
            memory_mb = _executor_megabytes(made, largest) + 512
            cluster = stack.enter_context(embedded_cluster(workers, memory_mb, folder / "cluster"))
            environment |= cluster.environment
        kept = checkpoints or [None] * len(tasks)
        job = (backend, tasks, kept, largest, cluster and cluster.master, predicts)
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
        supervise(
            __name__,
            folder,
            environment=environment,
            time_limit=time_limit,
            on_event=call,
        )
    outcome = pickle.loads((folder / "outcome.pickle").read_bytes())
    if isinstance(outcome, str):
        raise FitError(outcome)
    return outcome


def _with_options(task: TrainingTask, backend: Backend) -> TrainingTask:
    """Return ``task`` with the backend's default options, unless it has options already."""
    return replace(task, options=backend.options()) if type(task.options) is Options else task


def _executor_megabytes(backend: Backend, task: TrainingTask) -> int:
    conf = backend.spark_conf(task)
    return int(conf.get("spark.executor.memory", f"{MEMORY_MB}m").removesuffix("m"))


def executors(cluster: Cluster) -> list[psutil.Process]:
    """Return the executors' Java processes."""
    workers = cluster.processes[1:]
    return [
        child
        for worker in workers
        for child in psutil.Process(worker.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE and child.name() == "java"
    ]


def main(folder: Path) -> None:
    """Run the job of ``folder``."""
    from backends.all_reduce.backend import AllReduceBackend
    from experiments.config import SparkConfig
    from experiments.spark import session as sessions

    job = pickle.loads((folder / "job.pickle").read_bytes())
    name, tasks, checkpoints, largest, master, predicts = job
    backend, events = backends.create(name), EventWriter(folder / "events.jsonl")
    conf = {}
    if len(tasks) > 1 and isinstance(backend, AllReduceBackend):
        conf["spark.python.worker.reuse"] = "false"  # TensorFlow joins workers once in a process
    config = SparkConfig(executor_memory=f"{MEMORY_MB}m", conf=conf)
    session = sessions.start(config, master, backend, largest, folder) if master else None
    results: list[Trained] = []
    outcome: list[Trained] | str = results
    try:
        for task, kept in zip(tasks, checkpoints, strict=True):
            backend.warm_up(task.seed)
            context = _context(session, task, folder, events, kept)
            events.send("fit")
            fitted = backend.fit(task, context)
            predicted = np.empty(0)
            if predicts:
                predicted = backend.predict(task, fitted.weights, context)
            results.append(Trained(fitted, predicted, context.initial_weights_checksum))
    except (Exception, SystemExit) as error:
        outcome = plain_reason(error)
    (folder / "outcome.pickle").write_bytes(pickle.dumps(outcome))
    events.send("end")
    if session is not None:
        session.stop()


def _context(
    session: SparkSession | None,
    task: TrainingTask,
    folder: Path,
    events: EventWriter,
    checkpoints: Path | None,
) -> RunContext:
    return RunContext(
        spark=session,
        folder=folder,
        expected_checksum=lambda: checksum(task.build_model().get_weights()),
        on_epoch=lambda epoch: events.send("epoch", number=epoch.number),
        checkpoints=CheckpointFolder(checkpoints) if checkpoints else None,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
