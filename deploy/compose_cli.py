"""Commands around ``docker-compose.yml``: ``sparkdl-bench deploy env`` and ``bucket``."""

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
    workers: Annotated[
        int, typer.Option(min=1, help="Number of worker containers, with one executor each.")
    ] = 2,
    worker_memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Heap memory of each worker.")
    ] = "2g",
) -> None:
    """Write a .env file with random passwords for docker-compose.yml; never overwrites one."""
    from deploy import secret_file

    with plain_errors():
        settings = {"WORKERS": str(workers), "WORKER_MEMORY": worker_memory}
        names = secret_file.write(file, settings)
        listed = ", ".join(f"{name}={value}" for name, value in settings.items())
        sys.stdout.write(f"{file}: {', '.join(names)} (random, readable only by you), {listed}\n")


def bucket(name: Annotated[str, typer.Argument(help="Name of the bucket.")]) -> None:
    """Create a bucket in the store that the AWS variables point to, unless it exists."""
    from deploy.store import make_bucket

    with plain_errors():
        created = make_bucket(name)
        sys.stdout.write(f"s3://{name}: {'created' if created else 'already exists'}\n")
