"""Check whether a backend supports a task, in which exceptions count as a refusal."""

from collections.abc import Callable

from backends import registry
from backends.base import Backend, TrainingTask
from data.errors import SparkdlError


def refusal(backend: Backend, task: TrainingTask) -> str | None:
    """Return why ``backend`` does not support ``task``, or None, without importing a framework.

    A backend whose package is not installed is refused with the command that installs it. An
    exception in the backend counts as a refusal, so that it does not end a comparison.
    """
    return registry.missing(backend.name) or _reason(backend.unsupported, task)


def network_refusal(backend: Backend, task: TrainingTask) -> str | None:
    """Return why the framework cannot train the network of ``task``, or None.

    Call this function in the process that trains: it may import Keras and download weights.
    """
    return _reason(backend.unsupported_network, task)


def _reason(check: Callable[[TrainingTask], str | None], task: TrainingTask) -> str | None:
    try:
        return check(task)
    except SparkdlError as error:
        return str(error)
    except Exception as error:  # frameworks and custom backends may raise any exception
        first = next(iter(str(error).splitlines()), "")
        return f"its support could not be checked ({type(error).__name__}: {first})"
