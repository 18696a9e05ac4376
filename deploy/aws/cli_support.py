"""Helpers shared by the commands for AWS."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from data.command_line import plain_errors
from deploy.errors import DeployError

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def ended_in_every_case() -> Iterator[None]:
    """Turn signals into KeyboardInterrupt, so that cleanup runs, and errors into one line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
        signal.signal(signal.SIGHUP, _terminated)
    with plain_errors():
        yield


def _terminated(number: int, _: Any) -> NoReturn:
    raise KeyboardInterrupt(number)


def report(line: str) -> None:
    """Print a progress line to stderr."""
    sys.stderr.write(line + "\n")


def new_name() -> str:
    """Return a unique name for a run."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def region_of(given: str | None) -> str:
    """Return the region from the option or, without one, from AWS's own settings.

    Raises
    ------
    DeployError
        If no region is set.
    """
    from deploy.aws.client import Aws

    if given:
        return given
    named = os.environ.get("AWS_REGION")  # boto3 does not read this variable
    return str(Aws(named).session.region_name)


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """Return an instance of ``model`` with ``values``.

    Raises
    ------
    DeployError
        If a value is invalid; the message names the option.
    """
    try:
        return model(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + "-".join(map(str, problem["loc"])).replace("_", "-")
        raise DeployError(f"{option}: {problem['msg']}") from error
