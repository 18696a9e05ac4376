"""The one line of an error that a person needs."""

from data.failures import how_ended, java_status, job_failure
from experiments.spark.environment import EnvironmentDifferenceError


def plain_reason(error: BaseException) -> str:
    """Return type and message of ``error``; of one that came through Spark, its first cause."""
    if isinstance(error, EnvironmentDifferenceError):
        return str(error)  # a list, whose every line is needed
    if (status := java_status()) is not None:
        return ended_by("the driver's Java process", status)  # the rest is its consequence
    return job_failure(error)


def ended_by(process: str, status: int) -> str:
    """Return the reason of a run in the middle of which ``process`` has ended.

    Parameters are as for `data.failures.how_ended`.
    """
    return f"{how_ended(process, status)}; '--resume' goes on after the last epoch that was kept"
