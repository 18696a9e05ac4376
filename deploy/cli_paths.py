"""Paths of this machine as the deploy commands take them."""

from pathlib import Path

import typer

from data.addresses import local_path
from data.errors import DataError


def path_option(value: str | Path) -> Path:
    """Return ``value`` with ``~`` and ``~user`` replaced, which a shell does at times only.

    Raises
    ------
    typer.BadParameter
        When it is an address of something else, or names an unknown user.
    """
    try:
        return local_path(value)
    except DataError as error:
        raise typer.BadParameter(str(error)) from None
