"""``python -m deploy emr``: one command that starts, follows, brings back and ends."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.aws.cli_support import ended_in_every_case, new_name, region_of, tell
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
    prefix: Annotated[str, typer.Option(help="Where in the bucket.")] = "sparkdl-bench",
    region: Annotated[str | None, typer.Option(help="AWS region; else AWS's settings.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the run; default: date and time.")] = None,
    environment_archive: Annotated[
        str, typer.Option(help="What 'python -m deploy pack' made, or its s3:// address.")
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
            help="Machines beside the primary one; 0: it works alone.", rich_help_panel=_CLUSTER
        ),
    ] = 2,
    spot: Annotated[
        bool, typer.Option("--spot", help="Core nodes at spot prices.", rich_help_panel=_CLUSTER)
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(help="Use this cluster (j-...), which then stays.", rich_help_panel=_CLUSTER),
    ] = None,
    service_role: Annotated[
        str, typer.Option(help="Role of EMR.", rich_help_panel=_CLUSTER)
    ] = "sparkdl-bench-emr-service",
    instance_profile: Annotated[
        str, typer.Option(help="Role of the machines.", rich_help_panel=_CLUSTER)
    ] = "sparkdl-bench-job",
    serverless: Annotated[
        bool,
        typer.Option(
            "--serverless",
            help="EMR Serverless: one backend with one seed.",
            rich_help_panel=_SERVERLESS,
        ),
    ] = False,
    application: Annotated[
        str | None,
        typer.Option(help="Use this application, which then stays.", rich_help_panel=_SERVERLESS),
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="ARN of the job's role.", rich_help_panel=_SERVERLESS)
    ] = None,
    subnet: Annotated[
        list[str] | None, typer.Option(help="Subnet; several for serverless: repeat.")
    ] = None,
    security_group: Annotated[
        list[str] | None,
        typer.Option(help="With --subnet; repeat.", rich_help_panel=_SERVERLESS),
    ] = None,
    max_cost: Annotated[
        float,
        typer.Option(min=0, help="USD; what may cost more is refused.", rich_help_panel=_COST),
    ] = 5.0,
    max_hours: Annotated[
        float, typer.Option(help="When everything is ended.", rich_help_panel=_COST)
    ] = 2.0,
    price_per_hour: Annotated[
        float | None,
        typer.Option(min=0, help="USD for one machine, EMR included.", rich_help_panel=_COST),
    ] = None,
) -> None:
    """Run an experiment on EMR, bring the record back, and end what was started.

    python -m deploy emr --bucket B -- --experiment malaria --data s3://B/cells --backend all
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
        from deploy.aws import emr_choices, run_options
        from deploy.aws.storage import Place
        from deploy.errors import DeployError

        emr_choices.check(_typed(context), context.params)
        if not bucket:
            raise DeployError("name an S3 bucket of yours with --bucket")
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
            tell_record(output, common["run"].tracking_uri)


def _typed(context: typer.Context) -> set[str]:
    """Return the names of the parameters that the user has given."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _plan(
    serverless: bool, common: dict[str, Any], given: dict[str, Any]
) -> "tuple[Plan, prices.Price]":
    """Return the plan and what it costs by the hour."""
    from deploy.aws import emr as on_cluster
    from deploy.aws import emr_serverless as without_cluster
    from deploy.aws.cli_support import validated
    from deploy.errors import DeployError

    given = {key: value for key, value in given.items() if value is not None}
    if serverless:
        if "role" not in given:
            raise DeployError(
                "EMR Serverless needs the ARN of a role for the job: --role "
                "arn:aws:iam::ACCOUNT:role/sparkdl-bench-job (policy: 'python -m deploy iam')"
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
    """Show the plan, or carry it out."""
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
        Runner(Aws(region), plan, show=tell).run()
    finally:
        _tell_waiting(output)


def _tell_waiting(output: Path) -> None:
    """Say how records whose MLflow server was away get there."""
    if any(output.glob("outbox/*")):
        sys.stderr.write(
            f"records wait in {output}/outbox because their MLflow server was away: send them with"
            f"\n        uv run python -m experiments send --work {output}\n"
        )


def tell_record(output: Path, tracking_uri: str | None) -> None:
    """Say how to read on."""
    from deploy.aws.storage import DATABASE

    uri = tracking_uri or f"sqlite:///{output / DATABASE}"
    sys.stderr.write(
        f"record: {output}\n        uv run python -m experiments compare --tracking-uri {uri}\n"
    )
