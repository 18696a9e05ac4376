"""Synchronous all-reduce training on Spark executors, seen from the driver.

TensorFlowOnSpark and spark-tensorflow-distributor do the same for a user: they start one
TensorFlow worker on each executor and tell the workers of each other. What the workers then do
(``worker``) and how the driver follows them is common to both, and here. Two runs of
one seed give identical weights, through either framework: shards belong to ranks, the ring adds
in the order of ranks, and an executor of one core computes with one thread.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from backends.all_reduce.channel import DriverEnd, Message
from backends.all_reduce.worker import WorkerJob
from backends.base import FitResult, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.errors import BackendError
from data.shards import Shard

if TYPE_CHECKING:
    from pyspark import InheritableThread

#: Seconds within which all workers must have started; importing TensorFlow takes ten.
START_LIMIT = 180.0
#: Seconds without a word from any worker; each speaks within every batch that takes longer.
SILENCE_LIMIT = 300.0
#: Seconds that a failure may take to show its cause: a worker that lost its neighbour may be
#: heard before the neighbour's own error.
CAUSE_LIMIT = 3.0
#: Seconds that a framework may take to end after its workers have.
_END_LIMIT = 60.0
#: What a worker says, or is said of it, when it has failed.
_ENDS = ("error", "lost")
#: Errors that a worker sees when another one is gone; that other one's is the cause.
_CONSEQUENCES = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError")

#: Type of the option that stops training early.
Patience = Annotated[int, Field(ge=1)] | None
#: Starts the workers and returns when all have ended.
Launch = Callable[[WorkerJob, "Follower"], None]


def unsupported(task: TrainingTask) -> str | None:
    """Return why ``task`` cannot be trained, or None."""
    smallest = min(shard.rows for shard in task.data.shards("train", task.workers))
    if smallest < task.worker_batch_size:
        return (
            f"a worker has {smallest} training images, fewer than its share of a batch "
            f"({task.worker_batch_size}), and all-reduce needs whole batches on every worker: "
            "use fewer workers or a smaller --batch-size"
        )
    return None


def fit(
    task: TrainingTask, context: RunContext, launch: Launch, patience: int | None = None
) -> FitResult:
    """Train on all workers and return what the chief holds in the end.

    Parameters
    ----------
    launch
        Starts the workers through a framework; runs in a thread.
    patience
        Epochs without a better validation loss after which training stops; the weights of the
        best epoch are returned then. None trains all epochs and returns the last weights.

    Raises
    ------
    BackendError
        When a worker fails, dies or falls silent, with its own words.
    """
    conf = context.spark.sparkContext.getConf()
    host = conf.get("spark.driver.host")
    shards = tuple(task.data.shards("train", task.workers))
    with DriverEnd(conf.get("spark.driver.bindAddress", host), host, task.workers) as channel:
        job = WorkerJob(
            task=task,
            shards=shards,
            validation=tuple(task.data.slices("validation", task.workers)),
            steps=min(shard.rows for shard in shards) // task.worker_batch_size,
            patience=patience,
            address=channel.address,
            start=context.checkpoint(),
            keeps=context.keeps_checkpoints,
        )
        follower = Follower(job, context, channel)
        thread, failures = _start(launch, job, follower)
        try:
            follower.follow(failures)
        except BaseException:
            with suppress(Exception):  # Spark may have been stopped by the framework
                context.spark.sparkContext.cancelAllJobs()
            raise
        thread.join(_END_LIMIT)
        if failures:
            raise BackendError(f"training ended, its framework did not: {failures[0]}")
        if thread.is_alive():
            context.spark.sparkContext.cancelAllJobs()
            raise BackendError(f"the framework did not end within {_END_LIMIT:g} s of its workers")
    return follower.result(shards)


class Follower:
    """Follows the workers from start to end."""

    def __init__(self, job: WorkerJob, context: RunContext, channel: DriverEnd) -> None:
        self._job = job
        self._context = context
        self._channel = channel
        self._hosts: dict[int, str] = {}
        self._initial: dict[int, str] = {}
        self._final: dict[int, str] = {}
        self._done: set[int] = set()
        self._epochs: list[Epoch] = list(job.start.epochs) if job.start else []
        #: By epoch and rank, until all workers have told theirs.
        self._states: defaultdict[int, dict[int, Message]] = defaultdict(dict)
        self._ended = [Event() for _ in range(job.task.epochs)]
        for event in self._ended[: len(self._epochs)]:
            event.set()
        self._all_done = Event()
        self._stopped = job.has_stopped(self._epochs)
        self._weights: list[np.ndarray] = []
        self._best_epoch: int | None = None
        self._has_statistics = False

    def continues_after(self, epoch: int) -> bool:
        """Wait until ``epoch`` has ended, 0 being the start; return whether another one follows."""
        if epoch > 0:
            self._ended[epoch - 1].wait()
        return not self._stopped and epoch < self._job.task.epochs

    def wait_until_done(self) -> None:
        """Wait until all workers have ended."""
        self._all_done.wait()

    def follow(self, failures: list[BaseException]) -> None:
        """Return when all workers are done.

        Parameters
        ----------
        failures
            Filled by another thread when the framework itself fails.
        """
        workers = self._job.task.workers
        started = heard = time.monotonic()
        while len(self._done) < workers:
            messages = self._channel.messages()
            ends = [message for message in messages if message.kind in _ENDS]
            if ends or failures:
                raise self._failure(ends, failures)
            for message in messages:
                self._take(message)
            now = time.monotonic()
            heard = now if messages else heard
            if len(self._hosts) < workers and now - started > START_LIMIT:
                raise BackendError(
                    f"{len(self._hosts)} of {workers} workers started within {START_LIMIT:g} s: "
                    "are there as many free executors, and can they reach "
                    f"{self._job.address.host}:{self._job.address.port}?"
                )
            if len(self._hosts) == workers and now - heard > SILENCE_LIMIT:
                raise BackendError(f"no worker has said a word for {SILENCE_LIMIT:g} s")
        self._all_done.set()
        if len(set(self._final.values())) != 1:
            raise BackendError(f"the workers ended with different weights: {self._final}")

    def result(self, shards: tuple[Shard, ...]) -> FitResult:
        """Return what training left."""
        job = self._job
        steps = job.steps * len(self._epochs)
        return FitResult(
            self._weights,
            tuple(self._epochs),
            samples_seen=steps * job.task.worker_batch_size * job.task.workers,
            steps=steps,
            notes=tuple(self._notes(shards)),
        )

    def _take(self, message: Message) -> None:
        """Act on what a worker said; messages without a handler are signs of life."""
        handlers: dict[str, Callable[[Message], None]] = {
            "hello": self._take_hello,
            "initial": self._take_initial,
            "progress": self._take_progress,
            "epoch": self._take_epoch,
            "state": self._take_state,
            "weights": self._take_weights,
            "done": lambda message: self._done.add(message.rank),
        }
        handlers[message.kind](message)

    def _take_hello(self, message: Message) -> None:
        self._hosts[message.rank] = message.content["host"]

    def _take_initial(self, message: Message) -> None:
        self._initial[message.rank] = message.content["checksum"]
        if message.rank == 0:
            self._context.verify_initial_weights(message.arrays)
            self._has_statistics = message.content["statistics"] > 0
        if len(set(self._initial.values())) != 1:
            raise BackendError(f"the workers start from different weights: {self._initial}")

    def _take_progress(self, message: Message) -> None:
        said = message.content
        if message.rank == 0 and said["images"]:
            self._context.on_batch(said["epoch"], said["images"], said["loss"])

    def _take_epoch(self, message: Message) -> None:
        epoch = Epoch(**message.content)
        self._epochs.append(epoch)
        self._context.on_epoch(epoch)
        self._stopped = self._job.has_stopped(self._epochs)
        self._ended[epoch.number - 1].set()

    def _take_state(self, message: Message) -> None:
        """Keep the state after an epoch when all workers have told theirs.

        One worker may be heard of two epochs before another one is heard of the first.
        """
        epoch = message.content["epoch"]
        told = self._states[epoch]
        told[message.rank] = message
        if len(told) < self._job.task.workers:
            return
        del self._states[epoch]
        state: dict[str, list[np.ndarray]] = {}
        for part in told.values():
            arrays = iter(part.arrays)
            for name, length in part.content["lengths"].items():
                state[name] = [*islice(arrays, length)]
        self._context.keep(self._epochs[:epoch], state.pop("weights"), state)

    def _take_weights(self, message: Message) -> None:
        self._final[message.rank] = message.content["checksum"]
        if message.rank == 0:
            self._weights = message.arrays
            self._best_epoch = message.content["best_epoch"]

    def _failure(self, heard: list[Message], failures: list[BaseException]) -> BackendError:
        """Return the likeliest cause among what is heard within a moment."""
        deadline = time.monotonic() + CAUSE_LIMIT
        while time.monotonic() < deadline and not any(map(_is_cause, heard)):
            heard = heard + [m for m in self._channel.messages() if m.kind in _ENDS]
        if not heard:
            return BackendError(f"the framework failed: {failures[0]}")
        cause = min(heard, key=lambda m: (not _is_cause(m), m.kind != "lost"))
        where = f"worker {cause.rank} on {self._hosts.get(cause.rank, 'an unknown host')}"
        if cause.kind == "lost":
            return BackendError(
                f"{where} died or hung without a word (killed? out of memory? its host gone or cut "
                "off?); the others cannot go on without it"
            )
        told = f"{cause.content['error']}: {cause.content['text']}"
        heard_of = {message.rank for message in heard} | self._done
        silent = [f"worker {rank} on {self._hosts[rank]}" for rank in {*self._hosts} - heard_of]
        if silent and not _is_cause(cause):
            missing = f"{', '.join(silent)} cannot be reached any more (its host gone or cut off?)"
            error = BackendError(f"{missing}; {where}: {told}")
        else:
            error = BackendError(f"{where}: {told}")
        error.add_note(cause.content["traceback"])
        return error

    def _notes(self, shards: tuple[Shard, ...]) -> list[str]:
        notes = []
        task, rows = self._job.task, [shard.rows for shard in shards]
        left_out = sum(rows) - self._job.steps * task.worker_batch_size * task.workers
        if left_out:
            notes.append(
                f"{left_out} of {sum(rows)} training images are left out of each epoch"
                f"{', others each time' if task.shuffle else ''}: workers have {min(rows)} to "
                f"{max(rows)} images and take {self._job.steps} whole batches of "
                f"{task.worker_batch_size}."
            )
        if self._has_statistics and task.workers > 1:
            notes.append(
                f"Batch normalisation uses the statistics of each worker's own "
                f"{task.worker_batch_size} images; its moving averages are the workers' mean."
            )
        if self._job.patience is not None and self._stopped:
            notes.append(f"Stopped early after epoch {len(self._epochs)} of {task.epochs}.")
        if self._best_epoch is not None:
            notes.append(f"The weights are those of epoch {self._best_epoch}, the best one.")
        return notes


def _is_cause(message: Message) -> bool:
    return message.kind == "error" and message.content["error"] not in _CONSEQUENCES


def _start(
    launch: Launch, job: WorkerJob, follower: Follower
) -> tuple["InheritableThread", list[BaseException]]:
    """Run ``launch`` in a thread that Spark takes for its parent; collect what it raises."""
    from pyspark import InheritableThread

    failures: list[BaseException] = []

    def run() -> None:
        try:
            launch(job, follower)
        except BaseException as error:  # TensorFlowOnSpark exits where others raise
            failures.append(error)

    thread = InheritableThread(target=run, name="launch", daemon=True)
    thread.start()
    return thread, failures
