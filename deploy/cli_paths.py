"""Local paths in the options of the deploy commands."""

from pathlib import Path

import typer

from data.addresses import local_path
from data.errors import DataError


def path_option(value: str | Path) -> Path:
    """Return ``value`` with ``~`` and ``~user`` expanded, which a shell does only in some places.

    Raises
    ------
    typer.BadParameter
        If ``value`` is not an address of a local file or names an unknown user.
    """
    try:
        return local_path(value)
    except DataError as error:
        raise typer.BadParameter(str(error)) from None
