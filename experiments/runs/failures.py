"""One-line reasons for failures."""

from data.failures import how_ended, java_status, job_failure
from experiments.spark.environment import EnvironmentDifferenceError


def plain_reason(error: BaseException) -> str:
    """Return type and message of ``error``, or of its root cause if Spark reported it."""
    if isinstance(error, EnvironmentDifferenceError):
        return str(error)  # every line of this list is needed
    if (status := java_status()) is not None:
        # Every other error is a consequence of the end of the JVM.
        return ended_by("the driver's Java process", status)
    return job_failure(error)


def ended_by(process: str, status: int) -> str:
    """Return the reason for the failure of a run during which ``process`` has ended.

    Parameters are those of `data.failures.how_ended`.
    """
    return f"{how_ended(process, status)}; '--resume' continues after the last saved epoch"
