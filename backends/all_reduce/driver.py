"""Driver side of synchronous all-reduce training on Spark executors.

TensorFlowOnSpark, spark-tensorflow-distributor and TorchDistributor have the same purpose: they
start one worker on each executor and tell each worker how to find the others. The training loop of
the workers (``replica``) and the way in which the driver follows them are shared by all. Two runs
with the same seed give identical weights, because shards are assigned to ranks, the sums over
workers are computed in the order of ranks, and an executor with one core computes with one thread.
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
from backends.all_reduce.job import WorkerJob
from backends.base import FitResult, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.notes import left_out
from data.shards import Shard

if TYPE_CHECKING:
    from pyspark import InheritableThread

#: Seconds within which all workers must have started; importing a framework takes ten.
START_LIMIT = 180.0
#: Seconds without a message from any worker after which training fails; workers send progress
#: messages after batches.
SILENCE_LIMIT = 300.0
#: Seconds to wait for the cause of a failure: the error of a worker that lost its neighbor may
#: arrive before the error of the neighbor.
CAUSE_LIMIT = 3.0
#: Seconds that a framework may take to end after its workers have ended.
_END_LIMIT = 60.0
#: Kinds of messages that mean that a worker has failed.
_ENDS = ("error", "lost")
#: Errors that a worker raises when another worker has failed, whose error is the cause.
_CONSEQUENCES = (
    *("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError"),
    "PeerError",
)

#: Type of the option that stops training early.
Patience = Annotated[int, Field(ge=1)] | None
#: Function that starts the workers and returns when all have ended.
Launch = Callable[[WorkerJob, "Follower"], None]


def unsupported(task: TrainingTask) -> str | None:
    """Return why ``task`` cannot be trained, or None."""
    smallest = min(shard.rows for shard in task.data.patient_shards("train", task.workers))
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
    """Train on all workers and return the final weights of the chief.

    Parameters
    ----------
    task
        Task to train.
    context
        Context of the run.
    launch
        Function that starts the workers through a framework; it runs in a thread.
    patience
        Number of epochs without a lower validation loss after which training stops and the weights
        of the best epoch are returned. None trains all epochs and returns the last weights.

    Raises
    ------
    BackendError
        If a worker fails, dies or no longer sends messages; with its error message if there is one.
    """
    conf = context.spark.sparkContext.getConf()
    host = conf.get("spark.driver.host")
    shards = tuple(task.data.patient_shards("train", task.workers))
    with DriverEnd(conf.get("spark.driver.bindAddress", host), host, task.workers) as channel:
        job = WorkerJob(
            task=task,
            shards=shards,
            validation=tuple(task.data.row_slices("validation", task.workers)),
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
            raise BackendError(f"the framework failed after training had ended: {failures[0]}")
        if thread.is_alive():
            context.spark.sparkContext.cancelAllJobs()
            raise BackendError(
                f"the framework did not end within {_END_LIMIT:g} s after its workers had ended"
            )
    return follower.result(shards)


class Follower:
    """Processes the messages of the workers from start to end."""

    def __init__(self, job: WorkerJob, context: RunContext, channel: DriverEnd) -> None:
        self._job = job
        self._context = context
        self._channel = channel
        self._hosts: dict[int, str] = {}
        self._initial: dict[int, str] = {}
        self._final: dict[int, str] = {}
        self._done: set[int] = set()
        self._epochs: list[Epoch] = list(job.start.epochs) if job.start else []
        #: State messages by epoch and rank, until all workers have sent theirs.
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
        """Wait until ``epoch`` has ended and return whether another one follows.

        0 stands for the start of training.
        """
        if epoch > 0:
            self._ended[epoch - 1].wait()
        return not self._stopped and epoch < self._job.task.epochs

    def wait_until_done(self) -> None:
        """Wait until all workers have ended."""
        self._all_done.wait()

    def follow(self, failures: list[BaseException]) -> None:
        """Process messages until all workers have ended.

        Parameters
        ----------
        failures
            Filled by another thread if the framework itself fails.

        Raises
        ------
        BackendError
            If a worker or the framework fails, or a time limit is exceeded.
        """
        workers = self._job.task.workers
        started = received = time.monotonic()
        while len(self._done) < workers:
            messages = self._channel.messages()
            ends = [message for message in messages if message.kind in _ENDS]
            if ends or failures:
                raise self._failure(ends, failures)
            for message in messages:
                self._handle(message)
            now = time.monotonic()
            received = now if messages else received
            if len(self._hosts) < workers and now - started > START_LIMIT:
                raise BackendError(
                    f"{len(self._hosts)} of {workers} workers started within {START_LIMIT:g} s: "
                    f"check that {workers} executors are free and can reach "
                    f"{self._job.address.host}:{self._job.address.port}"
                )
            if len(self._hosts) == workers and now - received > SILENCE_LIMIT:
                raise BackendError(f"no worker has sent a message for {SILENCE_LIMIT:g} s")
        self._all_done.set()
        if len(set(self._final.values())) != 1:
            raise BackendError(f"the workers ended with different weights: {self._final}")

    def result(self, shards: tuple[Shard, ...]) -> FitResult:
        """Return the result of training."""
        job = self._job
        steps = job.steps * len(self._epochs)
        return FitResult(
            self._weights,
            tuple(self._epochs),
            samples_seen=steps * job.task.worker_batch_size * job.task.workers,
            steps=steps,
            notes=tuple(self._notes(shards)),
        )

    def _handle(self, message: Message) -> None:
        """Process a message according to its kind."""
        handlers: dict[str, Callable[[Message], None]] = {
            "hello": self._handle_hello,
            "initial": self._handle_initial,
            "progress": self._handle_progress,
            "epoch": self._handle_epoch,
            "state": self._handle_state,
            "weights": self._handle_weights,
            "done": lambda message: self._done.add(message.rank),
        }
        handlers[message.kind](message)

    def _handle_hello(self, message: Message) -> None:
        self._hosts[message.rank] = message.content["host"]

    def _handle_initial(self, message: Message) -> None:
        self._initial[message.rank] = message.content["checksum"]
        if message.rank == 0:
            self._context.verify_initial_weights(message.arrays)
            self._has_statistics = message.content["statistics"] > 0
        if len(set(self._initial.values())) != 1:
            raise BackendError(f"the workers start from different weights: {self._initial}")

    def _handle_progress(self, message: Message) -> None:
        content = message.content
        if message.rank == 0 and content["images"]:  # 0 images in validation
            self._context.on_batch(content["epoch"], content["images"], content["loss"])

    def _handle_epoch(self, message: Message) -> None:
        epoch = Epoch(**message.content)
        self._epochs.append(epoch)
        self._context.on_epoch(epoch)
        self._stopped = self._job.has_stopped(self._epochs)
        self._ended[epoch.number - 1].set()

    def _handle_state(self, message: Message) -> None:
        """Save the state after an epoch when all workers have sent theirs.

        The states of two epochs may arrive from one worker before that of the first epoch arrives
        from another.
        """
        epoch = message.content["epoch"]
        received = self._states[epoch]
        received[message.rank] = message
        if len(received) < self._job.task.workers:
            return
        del self._states[epoch]
        state: dict[str, list[np.ndarray]] = {}
        for part in received.values():
            arrays = iter(part.arrays)
            for name, length in part.content["lengths"].items():
                state[name] = [*islice(arrays, length)]
        self._context.keep(self._epochs[:epoch], state.pop("weights"), state)

    def _handle_weights(self, message: Message) -> None:
        self._final[message.rank] = message.content["checksum"]
        if message.rank == 0:
            self._weights = message.arrays
            self._best_epoch = message.content["best_epoch"]

    def _failure(self, ends: list[Message], failures: list[BaseException]) -> BackendError:
        """Return the most likely cause among the errors that arrive within ``CAUSE_LIMIT``."""
        deadline = time.monotonic() + CAUSE_LIMIT
        while time.monotonic() < deadline and not any(map(_is_cause, ends)):
            ends = ends + [m for m in self._channel.messages() if m.kind in _ENDS]
        if not ends:
            return BackendError(f"the framework failed: {failures[0]}")
        cause = min(ends, key=lambda m: (not _is_cause(m), m.kind != "lost"))
        where = f"worker {cause.rank} on {self._hosts.get(cause.rank, 'an unknown host')}"
        if cause.kind == "lost":
            return BackendError(
                f"{where} died or hung without reporting an error (killed, out of memory, or host "
                "unreachable?); the other workers cannot continue without it"
            )
        reported = f"{cause.content['error']}: {cause.content['text']}"
        ended = {message.rank for message in ends} | self._done
        silent = [f"worker {rank} on {self._hosts[rank]}" for rank in {*self._hosts} - ended]
        if silent and not _is_cause(cause):
            missing = f"{', '.join(silent)} can no longer be reached (host down or disconnected?)"
            error = BackendError(f"{missing}; {where}: {reported}")
        else:
            error = BackendError(f"{where}: {reported}")
        error.add_note(cause.content["traceback"])
        return error

    def _notes(self, shards: tuple[Shard, ...]) -> list[str]:
        task = self._job.task
        notes = left_out(task, [shard.rows for shard in shards], self._job.steps)
        if self._has_statistics and task.workers > 1:
            notes.append(
                f"Batch normalization uses the statistics of each worker's own "
                f"{task.worker_batch_size} images; its moving averages are averaged over workers."
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
    """Run ``launch`` in a thread that inherits Spark's local properties; collect exceptions."""
    from pyspark import InheritableThread

    failures: list[BaseException] = []

    def run() -> None:
        try:
            launch(job, follower)
        except BaseException as error:  # TensorFlowOnSpark raises SystemExit
            failures.append(error)

    thread = InheritableThread(target=run, name="launch", daemon=True)
    thread.start()
    return thread, failures
