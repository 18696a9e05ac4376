"""Retries while an MLflow server, or its database or object store, is unreachable."""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_fixed,
)

from data.store_address import described, is_server
from experiments.errors import ExperimentError
from experiments.processes.ending import end_if_asked
from experiments.tracking.recorder import check_reachable

#: Seconds for which calls to an unreachable server are retried.
PATIENCE = 120.0
_RETRY_SECONDS = 2.0
#: MLflow's error codes when its database or object store is unreachable or it is still starting.
_PASSING = {
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL_ERROR",
}

Result = TypeVar("Result")


class ServerAwayError(ExperimentError):
    """Raised when the server remained unreachable until the retries ended."""


def patiently(
    call: Callable[[], Result],
    uri: str,
    on_wait: Callable[[str], None] = lambda _: None,
    patience: float | None = None,
) -> Result:
    """Return the result of ``call``, which is retried while the server ``uri`` is unreachable.

    Parameters
    ----------
    call
        Function that uses the server.
    uri
        Address of the server or database.
    on_wait
        Called once with a message when the retries begin.
    patience
        Seconds for which the call is retried; None is :data:`PATIENCE`.

    Raises
    ------
    ServerAwayError
        If the server is still unreachable after ``patience`` seconds. Errors of ``call`` with
        another cause are raised unchanged.
    """
    patience = PATIENCE if patience is None else patience
    troubles: list[str] = []

    def may_pass(error: BaseException) -> bool:
        if not isinstance(error, Exception):  # an interrupt
            return False
        trouble = _trouble(error, uri)
        if trouble:
            troubles.append(trouble)
        return bool(trouble)

    def before_retry(_: RetryCallState) -> None:
        if len(troubles) == 1:
            on_wait(f"{described(uri)} {troubles[0]}: retrying for {patience:g} s")
        end_if_asked()

    def give_up(state: RetryCallState) -> NoReturn:
        error = state.outcome.exception() if state.outcome else None
        raise ServerAwayError(f"{described(uri)} {troubles[-1]}") from error

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        wait=wait_fixed(_RETRY_SECONDS),
        stop=stop_after_delay(patience),
        before_sleep=before_retry,
        retry_error_callback=give_up,
    )
    return retrying(call)


def _trouble(error: Exception, uri: str) -> str:
    """Return what is wrong with the server if it may be temporary, or an empty string."""
    from botocore.exceptions import BotoCoreError
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        check_reachable(uri)
    except ExperimentError as unreachable:
        return "does not answer" if is_server(uri) else f"cannot be written to ({unreachable})"
    # The server may have recovered between the call and the check.
    passing = isinstance(error, (BotoCoreError, RequestException, ConnectionError, TimeoutError))
    if isinstance(error, MlflowException):
        passing = error.error_code in _PASSING
    return f"answers with an error ({first_line(error)})" if passing else ""


def first_line(error: Exception) -> str:
    """Return the first line of the message of ``error``, or its type if there is no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
