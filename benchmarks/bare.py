"""Code shared by the bare scripts: the task of the synthetic experiment and its Spark session."""

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
    """Start a Spark session with the settings of ``backend``.

    Parameters
    ----------
    backend
        Name of the backend.
    master
        Spark URL.
    data
        Address of the prepared data.
    epochs
        Number of epochs of the task.
    folder
        Folder of the run.

    Returns
    -------
    session, task, context
        Session, training task and run context.
    """
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
