"""``sparkdl-bench deploy submit``: experiments on YARN and Kubernetes."""

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


Prepared = Annotated[str, typer.Option(help="Address for prepared images: s3://bucket/prefix.")]
Overhead = Annotated[str, typer.Option(help="Executor memory outside the heap.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command and start nothing.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(help="Options of run_experiment.py, after '--'.", show_default=False),
]


@app.command()
def yarn(
    archive: Annotated[str, typer.Option(help="Archive from 'sparkdl-bench deploy pack'.")],
    prepared: Prepared,
    arguments: Arguments = None,
    overhead: Overhead = "2g",
    queue: Annotated[str | None, typer.Option(help="Queue of the cluster.")] = None,
    spark_archive: Annotated[
        str | None, typer.Option(help="Archive with Spark's jars, for example hdfs:///spark.zip.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run on the Hadoop cluster configured in HADOOP_CONF_DIR, from a machine with access to it."""
    with plain_errors():
        from deploy.submit import Yarn

        _start(Yarn(archive, overhead, queue, spark_archive), prepared, arguments or (), dry_run)


@app.command()
def kubernetes(
    image: Annotated[
        str, typer.Option(help="Image built from deploy/Dockerfile, in your registry.")
    ],
    prepared: Prepared,
    arguments: Arguments = None,
    server: Annotated[
        str, typer.Option(help="Address of the cluster's API server.")
    ] = "https://kubernetes.default.svc",
    namespace: Annotated[str, typer.Option(help="Namespace of driver and executors.")] = "default",
    driver_host: Annotated[
        str, typer.Option(help="Headless service of the driver's pod.")
    ] = "sparkdl-driver",
    driver_pod: Annotated[
        str | None,
        typer.Option(
            help="Pod of the driver; executors are deleted together with it.", envvar="HOSTNAME"
        ),
    ] = None,
    executor_account: Annotated[
        str | None, typer.Option(help="Service account of the executors.")
    ] = None,
    store_secret: Annotated[
        str | None,
        typer.Option(help="Secret with access-key and secret-key of the object store."),
    ] = None,
    overhead: Overhead = "2g",
    dry_run: DryRun = False,
) -> None:
    """Run on Kubernetes, from a pod that uses the image (see docs/clusters.md)."""
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
    """Replace this process with the run, or print the command."""
    from deploy.submit import command

    program = command(cluster, prepared, arguments)
    if dry_run:
        sys.stdout.write(shlex.join(["python", *program]) + "\n")
        return
    cluster.check(os.environ)
    os.execv(sys.executable, [sys.executable, str(ROOT / program[0]), *program[1:]])
