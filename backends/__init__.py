"""Spark deep-learning frameworks behind a common interface, one module for each."""

from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.registry import check_name, create, known

__all__ = [
    "Backend",
    "BackendError",
    "Epoch",
    "FitResult",
    "Options",
    "RunContext",
    "TrainingTask",
    "check_name",
    "create",
    "known",
]
