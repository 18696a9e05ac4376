"""Patience with an MLflow server that is away, or whose database or object store is."""

import time
from collections.abc import Callable
from typing import TypeVar

from experiments.errors import ExperimentError
from experiments.processes.ending import end_if_asked
from experiments.store_address import described, is_server
from experiments.tracking.recorder import check_reachable

#: Seconds that a server may be away before one goes on without it.
PATIENCE = 120.0
_RETRY_SECONDS = 2.0
#: What MLflow says when its database or object store is away, or when it is just being started.
_PASSING = {
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL_ERROR",
}

Result = TypeVar("Result")


class ServerAwayError(ExperimentError):
    """The server takes nothing and has not for as long as one should wait."""


def patiently(
    call: Callable[[], Result],
    uri: str,
    on_wait: Callable[[str], None] = lambda _: None,
    patience: float | None = None,
) -> Result:
    """Return what ``call`` returns; while the server ``uri`` cannot take it, try again.

    Raises
    ------
    ServerAwayError
        When that lasts. What ``call`` raises because of what was asked is raised as it is.
    """
    patience = PATIENCE if patience is None else patience
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            return call()
        except Exception as error:
            trouble = _trouble(error, uri)
            if not trouble:
                raise
            if time.monotonic() > deadline:
                raise ServerAwayError(f"{described(uri)} {trouble}") from error
            if not told:
                on_wait(f"{described(uri)} {trouble}: trying for {patience:g} s")
                told = True
            end_if_asked()
            time.sleep(_RETRY_SECONDS)


def _trouble(error: Exception, uri: str) -> str:
    """Return what is wrong with the server if that may pass, or an empty text."""
    from botocore.exceptions import BotoCoreError
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        check_reachable(uri)
    except ExperimentError as unreachable:
        return "does not answer" if is_server(uri) else f"cannot be written to ({unreachable})"
    # It may have come back between the call and the question.
    passing = isinstance(error, (BotoCoreError, RequestException, ConnectionError, TimeoutError))
    if isinstance(error, MlflowException):
        passing = error.error_code in _PASSING
    return f"answers with an error ({first_line(error)})" if passing else ""


def first_line(error: Exception) -> str:
    """Return the first line of what ``error`` says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
