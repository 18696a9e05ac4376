"""``fit`` in a process of its own, without the harness's record: for tests that need a task
that no experiment file can ask for, or that look at what happens while training runs."""

import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

import backends
from backends.base import FitResult, RunContext, TrainingTask
from backends.checkpoints import CheckpointFolder
from data.process_environment import for_spark
from experiments.processes.events import EventWriter
from experiments.processes.supervision import supervise
from experiments.runs.failures import plain_reason
from experiments.spark.cluster import Cluster, embedded_cluster
from models import checksum

MEMORY_MB = 1024


class FitError(Exception):
    """The fit failed; the message is the reason that a user would read."""


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
        When the backend raises or exits.
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
    """Train ``tasks``, of as many workers each, one after the other in one session of Spark.

    ``checkpoints`` are folders, one for each task.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**for_spark(), "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    (workers,) = {task.workers for task in tasks}
    largest = max(tasks, key=lambda task: _executor_megabytes(backend, task))
    memory_mb = _executor_megabytes(backend, largest) + 512
    listeners = {"fit": on_fit, "epoch": on_epoch}
    with embedded_cluster(workers, memory_mb, folder / "cluster") as cluster:
        kept = checkpoints or [None] * len(tasks)
        job = (backend, tasks, kept, largest, cluster.master)
        (folder / "job.pickle").write_bytes(pickle.dumps(job))
        supervise(
            __name__,
            folder,
            environment={**environment, **cluster.environment},
            time_limit=time_limit,
            on_event=lambda event: listeners.get(event["event"], _ignore)(cluster),
        )
    outcome = pickle.loads((folder / "outcome.pickle").read_bytes())
    if isinstance(outcome, str):
        raise FitError(outcome)
    return outcome


def _executor_megabytes(backend: str, task: TrainingTask) -> int:
    conf = backends.create(backend).spark_conf(task)
    return int(conf.get("spark.executor.memory", f"{MEMORY_MB}m").removesuffix("m"))


def _ignore(_: Cluster) -> None:
    pass


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
    from backends.all_reduce_backend import AllReduceBackend
    from experiments.config import SparkConfig
    from experiments.spark import session as sessions

    name, tasks, checkpoints, largest, master = pickle.loads((folder / "job.pickle").read_bytes())
    backend, events = backends.create(name), EventWriter(folder / "events.jsonl")
    conf = {}
    if len(tasks) > 1 and isinstance(backend, AllReduceBackend):
        conf["spark.python.worker.reuse"] = "false"  # TensorFlow joins workers once in a process
    config = SparkConfig(executor_memory=f"{MEMORY_MB}m", conf=conf)
    session = sessions.start(config, master, backend, largest, folder)
    results: list[FitResult] = []
    outcome: list[FitResult] | str = results
    try:
        for task, kept in zip(tasks, checkpoints, strict=True):
            context = _context(session, task, folder, events, kept)
            events.send("fit")
            results.append(backend.fit(task, context))
    except (Exception, SystemExit) as error:
        outcome = plain_reason(error)
    (folder / "outcome.pickle").write_bytes(pickle.dumps(outcome))
    events.send("end")
    session.stop()


def _context(
    session: SparkSession,
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
