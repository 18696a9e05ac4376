"""``sparkdl-bench deploy emr``: start a run, follow it, download the record and clean up."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.invocation import command
from deploy.aws.cli_support import ended_in_every_case, new_name, region_of, report
from deploy.cli_paths import path_option

if TYPE_CHECKING:
    from deploy.aws import prices
    from deploy.aws.plan import Plan

_CLUSTER, _SERVERLESS, _COST = "Cluster", "Serverless", "Cost"


def emr(
    context: typer.Context,
    run: Annotated[
        list[str] | None,
        typer.Argument(help="Options of run_experiment.py, after '--'.", show_default=False),
    ] = None,
    bucket: Annotated[str, typer.Option(help="S3 bucket for code, environment and record.")] = "",
    prefix: Annotated[str, typer.Option(help="Prefix in the bucket.")] = "sparkdl-bench",
    region: Annotated[
        str | None, typer.Option(help="AWS region; default: from AWS's settings.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; default: date and time.")
    ] = None,
    environment_archive: Annotated[
        str, typer.Option(help="Archive from 'sparkdl-bench deploy pack', or its s3:// address.")
    ] = "environment.tar.gz",
    output: Annotated[
        Path | None,
        typer.Option(
            parser=path_option, metavar="PATH", help="Folder for the record; default: runs/NAME."
        ),
    ] = None,
    release: Annotated[str | None, typer.Option(help="EMR release with Spark 3.5.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and send none.")
    ] = False,
    instance_type: Annotated[
        str, typer.Option(help="Machine type.", rich_help_panel=_CLUSTER)
    ] = "m5.xlarge",
    core_nodes: Annotated[
        int,
        typer.Option(
            help="Machines in addition to the primary one; 0: only the primary one.",
            rich_help_panel=_CLUSTER,
        ),
    ] = 2,
    spot: Annotated[
        bool, typer.Option("--spot", help="Core nodes at spot prices.", rich_help_panel=_CLUSTER)
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Existing cluster to use (j-...); it is not terminated.", rich_help_panel=_CLUSTER
        ),
    ] = None,
    service_role: Annotated[
        str, typer.Option(help="Service role of EMR.", rich_help_panel=_CLUSTER)
    ] = "sparkdl-bench-emr-service",
    instance_profile: Annotated[
        str, typer.Option(help="Instance profile of the machines.", rich_help_panel=_CLUSTER)
    ] = "sparkdl-bench-job",
    serverless: Annotated[
        bool,
        typer.Option(
            "--serverless",
            help="Run on EMR Serverless: one backend with one seed.",
            rich_help_panel=_SERVERLESS,
        ),
    ] = False,
    application: Annotated[
        str | None,
        typer.Option(
            help="Existing application to use; it is not deleted.", rich_help_panel=_SERVERLESS
        ),
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="ARN of the job's role.", rich_help_panel=_SERVERLESS)
    ] = None,
    subnet: Annotated[
        list[str] | None, typer.Option(help="Subnet; repeatable with --serverless.")
    ] = None,
    security_group: Annotated[
        list[str] | None,
        typer.Option(
            help="Security group, with --subnet; repeatable.", rich_help_panel=_SERVERLESS
        ),
    ] = None,
    max_cost: Annotated[
        float,
        typer.Option(
            min=0, help="Maximum cost in USD; a higher estimate is rejected.", rich_help_panel=_COST
        ),
    ] = 5.0,
    max_hours: Annotated[
        float, typer.Option(help="Hours after which everything is stopped.", rich_help_panel=_COST)
    ] = 2.0,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            min=0, help="Price of one machine including EMR, in USD.", rich_help_panel=_COST
        ),
    ] = None,
) -> None:
    """Run an experiment on EMR, download the record and stop everything that was started.

    sparkdl-bench deploy emr --bucket B -- --experiment malaria --data s3://B/cells --backend all
    """
    given = {
        "release": release,
        "instance_type": instance_type,
        "core_nodes": core_nodes,
        "spot": spot,
        "cluster": cluster,
        "service_role": service_role,
        "instance_profile": instance_profile,
        "application": application,
        "role": role,
        "subnets": tuple(subnet or ()),
        "security_groups": tuple(security_group or ()),
        "max_hours": max_hours,
        "price_per_hour": price_per_hour,
        "rehearsal": dry_run,
    }
    with ended_in_every_case(), tempfile.TemporaryDirectory() as staging:
        from deploy.aws import run_options
        from deploy.aws.emr import choices as emr_choices
        from deploy.aws.storage import Place
        from deploy.errors import DeployError

        emr_choices.check(_typed(context), context.params)
        if not bucket:
            raise DeployError("set --bucket to an S3 bucket that you own")
        run_name = name or new_name()
        output = output or Path("runs") / run_name
        common: dict[str, Any] = {
            "place": Place(bucket=bucket, prefix=prefix, run=run_name),
            "region": region_of(region),
            "environment": environment_archive,
            "run": run_options.parse(run or []),
            "output": output,
            "staging": Path(staging),
        }
        plan, price = _plan(serverless or application is not None, common, given)
        estimate = price.check(max_hours, max_cost)
        carry_out(plan, common["region"], estimate, output, dry_run=dry_run)
        if not dry_run:
            report_record(output, common["run"].tracking_uri)


def _typed(context: typer.Context) -> set[str]:
    """Return the names of the parameters that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _plan(
    serverless: bool, common: dict[str, Any], given: dict[str, Any]
) -> "tuple[Plan, prices.Price]":
    """Return the plan and its price per hour."""
    from deploy.aws.cli_support import validated
    from deploy.aws.emr import cluster as on_cluster
    from deploy.aws.emr import serverless as without_cluster
    from deploy.errors import DeployError

    given = {key: value for key, value in given.items() if value is not None}
    if serverless:
        if "role" not in given:
            raise DeployError(
                "EMR Serverless needs the ARN of a role for the job: --role "
                "arn:aws:iam::ACCOUNT:role/sparkdl-bench-job (policy: 'sparkdl-bench deploy iam')"
            )
        fields = without_cluster.ServerlessOptions.model_fields
        known = {key: value for key, value in given.items() if key in fields}
        options = validated(without_cluster.ServerlessOptions, {**common, **known})
        return without_cluster.plan(options), options.price()
    if given["subnets"]:
        given["subnet"] = given["subnets"][0]
    fields = on_cluster.EmrOptions.model_fields
    known = {key: value for key, value in given.items() if key in fields}
    emr_options = validated(on_cluster.EmrOptions, {**common, **known})
    return on_cluster.plan(emr_options), emr_options.price()


def carry_out(plan: "Plan", region: str, estimate: str, output: Path, *, dry_run: bool) -> None:
    """Carry out the plan or, with ``dry_run``, print it."""
    if dry_run:
        from deploy.aws.dry_run import text

        sys.stdout.write(text(plan))
        for warning in plan.warnings:
            sys.stderr.write(f"warning: {warning}\n")
        sys.stderr.write(f"nothing was sent; {estimate}\n")
        return
    from deploy.aws.client import Aws
    from deploy.aws.runner import Runner

    sys.stderr.write(f"{estimate}\n")
    try:
        Runner(Aws(region), plan, show=report).run()
    finally:
        _report_pending(output)


def _report_pending(output: Path) -> None:
    """Print how to send records that could not reach their MLflow server."""
    if any(output.glob("outbox/*")):
        sys.stderr.write(
            f"{output}/outbox contains pending records because their MLflow server was unreachable:"
            f" send them with\n        {command('sync', '--work', str(output))}\n"
        )


def report_record(output: Path, tracking_uri: str | None) -> None:
    """Print where the record is and how to compare its runs."""
    from deploy.aws.storage import DATABASE

    uri = tracking_uri or f"sqlite:///{output / DATABASE}"
    sys.stderr.write(f"record: {output}\n        {command('compare', '--tracking-uri', uri)}\n")
