"""Backends that do what frameworks are known to do to their host process."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from backends.base import Backend, FitResult, RunContext, TrainingTask
from backends.majority import Majority


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


__all__ = ["Backend", "Diverging", "Exiting", "Raising", "Refusing", "Sleeping"]
