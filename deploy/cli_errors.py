"""Errors of the deploy commands, as a line and an exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from deploy.errors import DeployError

WRONG_REQUEST_STATUS = 2


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the project's errors into a line on standard error and exit status 2."""
    from data.errors import DataError
    from experiments.errors import ExperimentError

    try:
        yield
    except (DataError, DeployError, ExperimentError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(WRONG_REQUEST_STATUS) from None
