"""What the commands for AWS share."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from deploy.errors import DeployError

WRONG_REQUEST, FAILED, INTERRUPTED = 2, 1, 130

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def ended_in_every_case() -> Iterator[None]:
    """Let Ctrl-C and termination run what ends the machines, and turn errors into a line."""
    from deploy.aws.runner import InterruptedRunError, RunFailedError

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _terminated)
    try:
        yield
    except InterruptedRunError as error:
        sys.stderr.write(f"\n{error}\n")
        raise typer.Exit(INTERRUPTED) from None
    except RunFailedError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(FAILED) from None
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(WRONG_REQUEST) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        raise typer.Exit(INTERRUPTED) from None


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
