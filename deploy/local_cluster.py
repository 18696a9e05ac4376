"""``python -m deploy cluster``: the cluster of ``docker-compose.yml`` without a container engine.

Every host is a network namespace with an address of its own and a view of the disk in which this
machine's Python is not: Spark's daemons and executors run from the packed environment alone. A
driver runs in a namespace too, so that the servers that Spark and the frameworks open on it are
reached by the cluster and by nobody else.
"""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from data.command_line import plain_errors
from data.exit_status import FAILED
from deploy.cli_paths import path_option

app = typer.Typer(
    no_args_is_help=True, help="Start and end a cluster of several hosts on this machine."
)

Folder = Annotated[
    Path,
    typer.Option(
        parser=path_option,
        metavar="PATH",
        help="Folder of the cluster's files: logs, records and environment.",
    ),
]
_FOLDER = Path("cluster")


@app.command()
def up(
    hosts: Annotated[int, typer.Option(help="Worker hosts.")] = 2,
    cores_per_host: Annotated[int, typer.Option(min=1, help="Cores that each offers.")] = 1,
    memory: Annotated[str, typer.Option(help="Memory that each offers, such as 3g.")] = "3g",
    folder: Folder = _FOLDER,
    environment: Annotated[
        Path | None,
        typer.Option(help="Archive of 'deploy pack'; made in the folder if it is not there."),
    ] = None,
) -> None:
    """Start master, workers, history server, MLflow and S3, each on a host of its own (as root)."""
    with plain_errors():
        from deploy.cluster import lifecycle

        signal.signal(signal.SIGTERM, _terminated)
        folder = folder.absolute()
        cluster = lifecycle.up(
            folder,
            hosts=hosts,
            cores=cores_per_host,
            memory=memory,
            archive=environment or folder / "environment.tar.gz",
            tell=typer.echo,
        )
        typer.echo(f"{hosts} hosts are up in {cluster.subnet}")
        for member in cluster.members:
            note = "  for tests: it keeps objects in memory" if member.name == "s3" else ""
            typer.echo(f"  {member.name:<10} {member.address}{note}")
        typer.echo("\ntrain on them with\n  " + run_command(folder))


@app.command()
def status(folder: Folder = _FOLDER) -> None:
    """Show every service with its address and whether it answers; exit with 1 if one does not."""
    with plain_errors():
        from deploy.cluster import processes, state
        from deploy.errors import DeployError

        folder = folder.absolute()
        cluster = state.read(folder)
        if cluster is None:
            raise DeployError(f"no cluster was started in {folder}")
        if not cluster.is_of_this_boot:
            raise DeployError(
                "the cluster ended when the machine was started anew: 'python -m deploy cluster up'"
            )
        all_well = cluster.stage == "up"
        for member in cluster.members:
            if member.process is None:
                health = f"ended, see {member.log}"
            else:
                health = "answers" if processes.is_healthy(member) else "does not answer"
            all_well &= health == "answers"
            typer.echo(f"{member.name:<10} {member.address:<32} {health}")
        if all_well:
            typer.echo("\ntrain on it with\n  " + run_command(folder))
        else:
            raise typer.Exit(FAILED)


@app.command()
def down(
    folder: Folder = _FOLDER,
    force: Annotated[bool, typer.Option("--force", help="End a run that is under way.")] = False,
) -> None:
    """End what 'up' has started and remove its namespaces; records and logs stay."""
    with plain_errors():
        from deploy.cluster import lifecycle

        lifecycle.down(folder.absolute(), force=force)
        typer.echo(f"the cluster has ended; its records and logs are in {folder}")


def run_command(folder: Path, *arguments: str) -> str:
    """Return the shell command that trains on the cluster of ``folder``."""
    from deploy.cluster import lifecycle, state

    cluster = state.read(folder)
    if cluster is None:
        return ""
    namespace = cluster.network.namespace(lifecycle.DRIVER)
    command = ["ip", "netns", "exec", namespace, sys.executable, "run_experiment.py"]
    command += [part for option in cluster.options.items() for part in option]
    return f". {shlex.quote(str(folder / 'driver.env'))} && {shlex.join([*command, *arguments])}"


def _terminated(number: int, _: Any) -> NoReturn:
    """End as Ctrl-C does, so that a cluster that is half up is removed."""
    raise SystemExit(128 + number)
