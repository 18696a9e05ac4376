"""What the commands for AWS share."""

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
    """Let Ctrl-C and termination run what ends the machines, and turn errors into a line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _terminated)
    with plain_errors():
        yield


def _terminated(number: int, _: Any) -> NoReturn:
    raise KeyboardInterrupt(number)


def tell(line: str) -> None:
    """Show a line of what goes on."""
    sys.stderr.write(line + "\n")


def new_name() -> str:
    """Return a name for a run that no other has."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def region_of(given: str | None) -> str:
    """Return the region, from the option or from AWS's own settings.

    Raises
    ------
    DeployError
        When there is none.
    """
    from deploy.aws.client import Aws

    if given:
        return given
    named = os.environ.get("AWS_REGION")  # which boto3 does not read
    return str(Aws(named).session.region_name)


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """Return ``model`` of ``values``.

    Raises
    ------
    DeployError
        Naming the option that is wrong.
    """
    try:
        return model(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + "-".join(map(str, problem["loc"])).replace("_", "-")
        raise DeployError(f"{option}: {problem['msg']}") from error
