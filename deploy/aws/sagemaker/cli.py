"""``sparkdl-bench deploy sagemaker``: train in the worker image, or serve a recorded model."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from deploy.aws.cli_support import ended_in_every_case, new_name, region_of, report, validated
from deploy.aws.emr.cli import carry_out, report_record
from deploy.cli_paths import path_option

app = typer.Typer(help="Train on SageMaker, or serve a recorded model there.", no_args_is_help=True)
_COST = "Cost"
#: URI schemes of models in an MLflow store; any other address refers to files.
_OF_A_STORE = ("models", "runs", "mlflow-artifacts")

Bucket = Annotated[str, typer.Option(help="S3 bucket that you own.")]
Role = Annotated[str, typer.Option(help="ARN of the container's role.")]
Region = Annotated[str | None, typer.Option(help="AWS region; default: from AWS's settings.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the requests and send none.")]
MaxCost = Annotated[
    float,
    typer.Option(
        min=0, help="Maximum cost in USD; a higher estimate is rejected.", rich_help_panel=_COST
    ),
]
MaxHours = Annotated[
    float, typer.Option(help="Hours after which it is stopped.", rich_help_panel=_COST)
]
PricePerHour = Annotated[
    float | None, typer.Option(min=0, help="Price of one machine, in USD.", rich_help_panel=_COST)
]


@app.command()
def train(
    run: Annotated[
        list[str] | None,
        typer.Argument(help="Options of run_experiment.py, after '--'.", show_default=False),
    ] = None,
    *,
    bucket: Bucket,
    image: Annotated[
        str,
        typer.Option(
            help="Worker image in ECR, built with 'docker build --target sagemaker': it runs as "
            "root, because SageMaker's folders belong to root."
        ),
    ],
    role: Role,
    prefix: Annotated[str, typer.Option(help="Prefix in the bucket.")] = "sparkdl-bench",
    region: Region = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; default: date and time.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=path_option, metavar="PATH", help="Folder for the record; default: runs/NAME."
        ),
    ] = None,
    instance_type: Annotated[str, typer.Option(help="Machine type.")] = "ml.m5.xlarge",
    spot: Annotated[bool, typer.Option("--spot", help="Use managed spot training.")] = False,
    volume_gb: Annotated[int, typer.Option(min=1, help="Disk size of the machine, in GB.")] = 30,
    subnet: Annotated[list[str] | None, typer.Option(help="Subnet; repeatable.")] = None,
    security_group: Annotated[
        list[str] | None, typer.Option(help="Security group, with --subnet; repeatable.")
    ] = None,
    dry_run: DryRun = False,
    max_cost: MaxCost = 5.0,
    max_hours: MaxHours = 2.0,
    price_per_hour: PricePerHour = None,
) -> None:
    """Run an experiment as a training job and download the record.

    sparkdl-bench deploy sagemaker train --bucket B --image I --role R -- --data s3://B/cells
    """
    with ended_in_every_case():
        from deploy.aws import run_options
        from deploy.aws.sagemaker import training as sagemaker_training
        from deploy.aws.storage import Place

        run_name = name or new_name()
        output = output or Path("runs") / run_name
        options = validated(
            sagemaker_training.TrainingOptions,
            {
                "place": Place(bucket=bucket, prefix=prefix, run=run_name),
                "region": region_of(region),
                "run": run_options.parse(run or []),
                "output": output,
                "image": image,
                "role": role,
                "instance_type": instance_type,
                "spot": spot,
                "volume_gb": volume_gb,
                "subnets": tuple(subnet or ()),
                "security_groups": tuple(security_group or ()),
                "max_hours": max_hours,
                "price_per_hour": price_per_hour,
            },
        )
        plan = sagemaker_training.plan(options)
        estimate = options.price().check(max_hours, max_cost)
        carry_out(plan, options.region, estimate, output, dry_run=dry_run)
        if not dry_run:
            report_record(output, options.run.tracking_uri)


@app.command()
def serve(
    model: Annotated[
        str, typer.Argument(help="models:/NAME/VERSION, or any other model URI of MLflow.")
    ],
    *,
    bucket: Bucket,
    image: Annotated[str, typer.Option(help="MLflow's serving image in ECR.")],
    role: Role,
    name: Annotated[
        str, typer.Option(help="Name of the endpoint; gets the prefix sparkdl-bench-.")
    ],
    region: Region = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow database or server that contains the model.")
    ] = None,
    instance_type: Annotated[
        str | None, typer.Option(help="Type of a dedicated machine; default: serverless.")
    ] = None,
    memory_mb: Annotated[int, typer.Option(help="Memory of a serverless container, in MB.")] = 4096,
    scheduler_role: Annotated[
        str | None,
        typer.Option(help="ARN of the role that deletes the endpoint after --max-hours."),
    ] = None,
    dry_run: DryRun = False,
    max_cost: MaxCost = 5.0,
    max_hours: MaxHours = 2.0,
    price_per_hour: PricePerHour = None,
) -> None:
    """Serve a recorded model with MLflow's deployment client until --max-hours have passed."""
    with ended_in_every_case():
        from datetime import UTC, datetime

        from deploy.aws.sagemaker import serving

        options = validated(
            serving.EndpointOptions,
            {
                "name": name,
                "model": model,
                "region": region_of(region),
                "bucket": bucket,
                "image": image,
                "role": role,
                "instance_type": instance_type,
                "memory_mb": memory_mb,
                "scheduler_role": scheduler_role,
                "max_hours": max_hours,
                "price_per_hour": price_per_hour,
            },
        )
        requests = serving.planned(options, datetime.now(UTC))
        estimate = options.price().check(max_hours, max_cost)
        if dry_run:
            for service, operation, parameters in requests:
                _print_request(service, operation, parameters)
            sys.stderr.write(f"nothing was sent; {estimate}\n")
            return
        if urlsplit(model).scheme in _OF_A_STORE:
            _use_store(tracking_uri)
        sys.stderr.write(f"{estimate}\n")
        serving.deploy(options, report)
        sys.stderr.write(f"endpoint: {options.name}\n")


@app.command()
def stop(
    name: Annotated[str, typer.Argument(help="Name of the endpoint.")], region: Region = None
) -> None:
    """Delete an endpoint with its configuration, model, archive and scheduled deletion."""
    with ended_in_every_case():
        from deploy.aws.sagemaker import serving

        serving.remove(name, region_of(region))
        sys.stderr.write(f"{name} is deleted\n")


def _print_request(service: str, operation: str, parameters: dict[str, Any]) -> None:
    sys.stdout.write(f"{service} {operation} {json.dumps(parameters, indent=2)}\n\n")


def _use_store(uri: str | None) -> None:
    import mlflow

    from data.store_address import absolute_uri, usual_uri
    from deploy.errors import DeployError
    from experiments.errors import ExperimentError
    from experiments.tracking.recorder import check_reachable, client_of

    uri = uri or usual_uri()
    try:
        check_reachable(uri, reading=True)
        client_of(uri)
    except ExperimentError as error:
        raise DeployError(str(error)) from error
    mlflow.set_tracking_uri(absolute_uri(uri))
    # Models are registered in the store that contains their runs.
    mlflow.set_registry_uri(absolute_uri(uri))
