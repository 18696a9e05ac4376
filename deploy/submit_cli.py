"""``python -m deploy submit``: experiments on YARN and Kubernetes."""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from data.command_line import plain_errors
from data.project import ROOT

if TYPE_CHECKING:
    from deploy.submit import Kubernetes, Yarn

app = typer.Typer(no_args_is_help=True, help="Run an experiment on YARN or Kubernetes.")


Prepared = Annotated[str, typer.Option(help="Where prepared images go: s3://bucket/prefix.")]
Overhead = Annotated[str, typer.Option(help="Memory of an executor beside its heap.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command and start nothing.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(help="After '--': options of run_experiment.py.", show_default=False),
]


@app.command()
def yarn(
    archive: Annotated[str, typer.Option(help="What 'python -m deploy pack' has made.")],
    prepared: Prepared,
    arguments: Arguments = None,
    overhead: Overhead = "2g",
    queue: Annotated[str | None, typer.Option(help="Queue of the cluster.")] = None,
    spark_archive: Annotated[
        str | None, typer.Option(help="Archive with Spark's jars, for example hdfs:///spark.zip.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run on the Hadoop cluster that HADOOP_CONF_DIR names, from a machine that reaches it."""
    with plain_errors():
        from deploy.submit import Yarn

        _start(Yarn(archive, overhead, queue, spark_archive), prepared, arguments or (), dry_run)


@app.command()
def kubernetes(
    image: Annotated[str, typer.Option(help="Image of deploy/Dockerfile in your registry.")],
    prepared: Prepared,
    arguments: Arguments = None,
    server: Annotated[
        str, typer.Option(help="Address of the cluster.")
    ] = "https://kubernetes.default.svc",
    namespace: Annotated[str, typer.Option(help="Of driver and executors.")] = "default",
    driver_host: Annotated[
        str, typer.Option(help="Headless service of the driver's pod.")
    ] = "sparkdl-driver",
    driver_pod: Annotated[
        str | None, typer.Option(help="Executors are deleted with it.", envvar="HOSTNAME")
    ] = None,
    executor_account: Annotated[
        str | None, typer.Option(help="Service account of executors.")
    ] = None,
    store_secret: Annotated[
        str | None, typer.Option(help="Secret with access-key and secret-key of the store.")
    ] = None,
    overhead: Overhead = "2g",
    dry_run: DryRun = False,
) -> None:
    """Run on Kubernetes, from a pod of the image (docs/clusters.md)."""
    with plain_errors():
        from deploy.submit import Kubernetes

        cluster = Kubernetes(
            image=image,
            server=server,
            namespace=namespace,
            driver_host=driver_host,
            driver_pod=driver_pod,
            executor_account=executor_account,
            store_secret=store_secret,
            overhead=overhead,
        )
        _start(cluster, prepared, arguments or (), dry_run)


def _start(
    cluster: "Yarn | Kubernetes", prepared: str, arguments: Sequence[str], dry_run: bool
) -> None:
    """Become the command, or print it."""
    from deploy.submit import command

    program = command(cluster, prepared, arguments)
    if dry_run:
        sys.stdout.write(shlex.join(["python", *program]) + "\n")
        return
    cluster.check(os.environ)
    os.execv(sys.executable, [sys.executable, str(ROOT / program[0]), *program[1:]])
