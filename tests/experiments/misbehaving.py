"""Backends that misbehave as real frameworks do."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
import psutil

from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.executors import at_once
from backends.majority import Majority
from backends.search import Choices, Values


class Sleeping(Majority):
    """Hangs in fit, with a child process, and ignores SIGTERM."""

    name = "sleeping"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                continue


class Raising(Majority):
    """Fails in fit."""

    name = "raising"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        raise RuntimeError("the framework's own words")


class Exiting(Majority):
    """Exits without a Python traceback, as after a crash in native code."""

    name = "exiting"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        print("last words", flush=True)
        os._exit(0)


class Refusing(Majority):
    """Rejects the task with an error."""

    name = "refusing"

    def unsupported(self, task: TrainingTask) -> str | None:
        return "it is Saturday"


class Unanswering(Majority):
    """A backend that fails when it is asked whether it supports a task."""

    name = "unanswering"

    def unsupported(self, task: TrainingTask) -> str | None:
        raise ValueError("no such layer\nand more lines")


class Untranslating(Majority):
    """A backend that fails to answer in the worker process."""

    name = "untranslating"

    def unsupported_network(self, task: TrainingTask) -> str | None:
        raise OSError("the weights cannot be downloaded")


class Diverging(Majority):
    """Predicts values that are not numbers (NaN)."""

    name = "diverging"

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        return np.full((task.data.rows("test"), 2), np.nan)


class Burning(Majority):
    """Uses a known amount of CPU, memory and storage in every executor's Python worker."""

    name = "burning"
    needs_spark = True
    cpu_s, memory_bytes, written_bytes = 2.0, 400 * 2**20, 16 * 2**20

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        seconds, held, written = self.cpu_s, self.memory_bytes, self.written_bytes

        def burn(_: Iterator[int]) -> Iterator[int]:
            block = np.ones(held, np.uint8)
            with tempfile.TemporaryFile() as file:
                file.write(os.urandom(written))
                file.flush()
                os.fsync(file.fileno())
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            time.sleep(3)  # one heartbeat interval
            yield int(block[0])

        numbers = context.spark.sparkContext.parallelize(range(task.workers), task.workers)
        assert numbers.barrier().mapPartitions(burn).sum() == task.workers
        return super().fit(task, context)


class LosingOne(Majority):
    """Loses one executor during a task on all executors, after another one has finished."""

    name = "losing_one"
    needs_spark = True

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        marker = context.folder / "lost"

        def answer(own: Iterator[int]) -> Iterator[int]:
            (number,) = own
            if number == 1 and not marker.exists():
                marker.touch()
                time.sleep(2)
                next(p for p in psutil.Process().parents() if p.name() == "java").kill()
                time.sleep(60)
            yield number

        numbers = context.spark.sparkContext.parallelize(range(task.workers), task.workers)
        assert at_once(numbers, answer) == [*range(task.workers)]
        assert marker.exists()
        return super().fit(task, context)


class Tunable(Majority):
    """Guesses labels without training; better the closer its learning rate is to 0.01."""

    name = "tunable"
    tunable: ClassVar[dict[str, Values]] = {"knob": Choices(("in", "out"))}

    class Knob(Options):
        knob: Literal["in", "out"] = "in"

    options = Knob

    def unsupported(self, task: TrainingTask) -> str | None:
        return "no batch of 32" if task.global_batch_size == 32 else None

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        distance = abs(np.log10(task.optimizer.learning_rate) + 2)
        epochs = [
            Epoch(number, 1.0, float(distance), images=1, seconds=0.1)
            for number in range(1, task.epochs + 1)
        ]
        for epoch in epochs:
            context.on_epoch(epoch)
            time.sleep(0.3)
        return FitResult([np.array([distance])], tuple(epochs), samples_seen=1, steps=1)

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        labels = task.data.index("test").column("label").to_numpy()
        wrong = np.arange(len(labels)) < len(labels) * min(float(weights[0][0]) / 4, 1)
        return np.eye(2)[np.where(wrong, 1 - labels, labels)]


__all__ = [
    "Backend",
    "Burning",
    "Diverging",
    "Exiting",
    "LosingOne",
    "Raising",
    "Refusing",
    "Sleeping",
    "Tunable",
]
