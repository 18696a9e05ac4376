"""``sparkdl-bench deploy cluster``: the services of ``docker-compose.yml`` without containers.

Every host is a network namespace with its own address and a view of the disk that hides this
machine's Python: Spark's daemons and executors run only from the packed environment. A driver runs
in a namespace too, so that only the cluster can reach the servers that Spark and the frameworks
open on it.
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
    no_args_is_help=True, help="Start and stop a cluster of several hosts on this machine."
)

Folder = Annotated[
    Path,
    typer.Option(
        parser=path_option,
        metavar="PATH",
        help="Folder for the cluster's files: logs, records and environment.",
    ),
]
_FOLDER = Path("cluster")


@app.command()
def up(
    hosts: Annotated[int, typer.Option(help="Number of worker hosts.")] = 2,
    cores_per_host: Annotated[int, typer.Option(min=1, help="Cores per worker host.")] = 1,
    memory: Annotated[str, typer.Option(help="Memory per worker host, for example 3g.")] = "3g",
    folder: Folder = _FOLDER,
    environment: Annotated[
        Path | None,
        typer.Option(help="Archive from 'deploy pack'; default: created in the folder."),
    ] = None,
) -> None:
    """Start master, workers, history server, MLflow and S3, each on its own host (needs root)."""
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
            report=typer.echo,
        )
        typer.echo(f"{hosts} hosts are up in {cluster.subnet}")
        for member in cluster.members:
            note = "  for tests only: keeps objects in memory" if member.name == "s3" else ""
            typer.echo(f"  {member.name:<10} {member.address}{note}")
        typer.echo("\ntrain on them with\n  " + run_command(folder))


@app.command()
def status(folder: Folder = _FOLDER) -> None:
    """Show the address and health of every service; exit with 1 if one is not healthy."""
    with plain_errors():
        from deploy.cluster import processes, state
        from deploy.errors import DeployError

        folder = folder.absolute()
        cluster = state.read(folder)
        if cluster is None:
            raise DeployError(f"no cluster was started in {folder}")
        if not cluster.is_of_this_boot:
            raise DeployError(
                "the cluster ended when the machine was rebooted: start it again with 'python -m "
                "deploy cluster up'"
            )
        all_well = cluster.stage == "up"
        for member in cluster.members:
            if member.process is None:
                health = f"exited, see {member.log}"
            else:
                health = "healthy" if processes.is_healthy(member) else "not responding"
            all_well &= health == "healthy"
            typer.echo(f"{member.name:<10} {member.address:<32} {health}")
        if all_well:
            typer.echo("\ntrain on it with\n  " + run_command(folder))
        else:
            raise typer.Exit(FAILED)


@app.command()
def down(
    folder: Folder = _FOLDER,
    force: Annotated[
        bool, typer.Option("--force", help="Also terminate a run in progress.")
    ] = False,
) -> None:
    """Stop the cluster and remove its namespaces; records and logs are kept."""
    with plain_errors():
        from deploy.cluster import lifecycle

        lifecycle.down(folder.absolute(), force=force)
        typer.echo(f"the cluster is stopped; its records and logs are in {folder}")


def run_command(folder: Path, *arguments: str) -> str:
    """Return the shell command that trains on the cluster in ``folder``; "" if there is none."""
    from deploy.cluster import lifecycle, state

    cluster = state.read(folder)
    if cluster is None:
        return ""
    namespace = cluster.network.namespace(lifecycle.DRIVER)
    command = ["ip", "netns", "exec", namespace, sys.executable, "run_experiment.py"]
    command += [part for option in cluster.options.items() for part in option]
    return f". {shlex.quote(str(folder / 'driver.env'))} && {shlex.join([*command, *arguments])}"


def _terminated(number: int, _: Any) -> NoReturn:
    """Exit as on Ctrl-C, so that a partly started cluster is removed."""
    raise SystemExit(128 + number)
