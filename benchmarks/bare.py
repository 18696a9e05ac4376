"""What bare scripts have in common: the task of the synthetic experiment and a session for it."""

from pathlib import Path
from typing import TYPE_CHECKING

from backends import RunContext, TrainingTask, create
from data.prepared import open_prepared
from experiments.loading import load
from experiments.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def begin(
    backend: str, master: str, data: str, epochs: int, folder: Path
) -> tuple["SparkSession", TrainingTask, RunContext]:
    """Return a session with the settings of ``backend``, what to train, and a context for it."""
    experiment = load("synthetic")
    task: TrainingTask = TrainingTask(
        open_prepared(data),
        experiment.model,
        experiment.optimizer,
        epochs,
        experiment.batch_size,
        experiment.workers,
        seed=0,
    )
    spark = session.start(experiment.spark, master, create(backend), task, folder)
    return spark, task, RunContext(spark=spark, folder=folder)
