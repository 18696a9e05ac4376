"""``python -m deploy env``: random passwords for ``docker-compose.yml``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.errors import DeployError

_WRONG_REQUEST = 2


def env(
    file: Annotated[Path, typer.Option(help="Where Compose looks for it.")] = Path(".env"),
) -> None:
    """Write a .env with random passwords for docker-compose.yml; an existing one stays."""
    from deploy import secret_file

    try:
        names = secret_file.write(file)
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(_WRONG_REQUEST) from None
    sys.stdout.write(f"{file}: {', '.join(names)} (random, readable by you alone)\n")
