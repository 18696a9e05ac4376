"""The guarded question whether a backend supports a task."""

from collections.abc import Callable

from backends.base import Backend, TrainingTask
from data.errors import SparkdlError


def refusal(backend: Backend, task: TrainingTask) -> str | None:
    """Return why ``backend`` does not support ``task``, or None; imports no framework.

    A backend that fails to answer refuses: its failure must not end a comparison.
    """
    return _answer(backend.unsupported, task)


def network_refusal(backend: Backend, task: TrainingTask) -> str | None:
    """Return why the framework cannot train the network of ``task``, or None.

    For the process that trains: Keras may be imported and weights downloaded.
    """
    return _answer(backend.unsupported_network, task)


def _answer(question: Callable[[TrainingTask], str | None], task: TrainingTask) -> str | None:
    try:
        return question(task)
    except SparkdlError as error:
        return str(error)
    except Exception as error:  # whatever a framework or a custom backend raises
        first = next(iter(str(error).splitlines()), "")
        return f"its support could not be checked ({type(error).__name__}: {first})"
