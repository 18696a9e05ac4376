"""Commands around ``docker-compose.yml``: ``python -m deploy env`` and ``bucket``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from data.command_line import plain_errors
from deploy.cli_paths import path_option


def env(
    file: Annotated[
        Path, typer.Option(parser=path_option, metavar="PATH", help="File that Compose reads.")
    ] = Path(".env"),
    workers: Annotated[int, typer.Option(min=1, help="Containers with one executor each.")] = 2,
    worker_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Heap that a worker offers.")
    ] = "2g",
) -> None:
    """Write a .env with random passwords for docker-compose.yml; an existing one stays."""
    from deploy import secret_file

    with plain_errors():
        settings = {"WORKERS": str(workers), "WORKER_MEMORY": worker_memory}
        names = secret_file.write(file, settings)
        told = ", ".join(f"{name}={value}" for name, value in settings.items())
        sys.stdout.write(f"{file}: {', '.join(names)} (random, readable by you alone), {told}\n")


def bucket(name: Annotated[str, typer.Argument(help="Name of the bucket.")]) -> None:
    """Make a bucket in the store that the AWS variables name; one that is there stays."""
    from deploy.store import make_bucket

    with plain_errors():
        made = make_bucket(name)
        sys.stdout.write(f"s3://{name}: {'made' if made else 'there already'}\n")
