"""Backends that do what frameworks are known to do to their host process."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from backends.base import Backend, Epoch, FitResult, Options, RunContext, TrainingTask
from backends.majority import Majority
from backends.search import Choices, Values


class Sleeping(Majority):
    """Hangs in fit, with a child of its own, and ignores a polite request to end."""

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
    """Ends the process without a word, as a crash in native code does."""

    name = "exiting"

    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        print("last words", flush=True)
        os._exit(0)


class Refusing(Majority):
    """Cannot do the task and says so."""

    name = "refusing"

    def unsupported(self, task: TrainingTask) -> str | None:
        return "it is Saturday"


class Diverging(Majority):
    """Predicts no numbers."""

    name = "diverging"

    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        return np.full((task.data.rows("test"), 2), np.nan)


class Tunable(Majority):
    """Guesses labels the better, the nearer its learning rate is to 0.01; trains nothing."""

    name = "tunable"
    takes_optimizer = True
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


__all__ = ["Backend", "Diverging", "Exiting", "Raising", "Refusing", "Sleeping", "Tunable"]
