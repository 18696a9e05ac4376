"""``sparkdl-bench deploy lambda``: a SageMaker endpoint with the page, without a server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.invocation import command
from deploy.aws.cli_support import ended_in_every_case, region_of, report, validated
from deploy.cli_paths import path_option

if TYPE_CHECKING:
    from deploy.aws.lambda_.function.settings import Settings
    from deploy.aws.lambda_.options import FunctionOptions

#: Seconds of a request for the estimate of the cost.
_TYPICAL_SECONDS = 0.5


def lambda_(
    endpoint: Annotated[str, typer.Option(help="Name of the SageMaker endpoint.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model whose card is packed with the function, as for 'serve'. Default: the "
            "function asks the endpoint for its card.",
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow database or server with the model.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="AWS region; default: from AWS's settings.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the function, which gets the prefix sparkdl-bench-lambda-; default: from "
            "the endpoint."
        ),
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="ARN of the function's role; default: one is created.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Predictions per second; more get status 429.")] = 10,
    burst: Annotated[int, typer.Option(help="Predictions at once; more get status 429.")] = 20,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            parser=path_option,
            metavar="PATH",
            help="File with one API key per line, which requests must present as X-API-Key. "
            "Without it, anyone who knows the address can use it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and send none.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete everything that was created.")
    ] = False,
) -> None:
    """Put a Lambda function with the page and /predict in front of a SageMaker endpoint.

    Creates a function, its role and log, and an HTTP API; a second call updates them. The address
    is public. A request has at most 4.5 MB and 29 s. An unused function costs nothing; the endpoint
    is charged separately.

    sparkdl-bench deploy lambda --endpoint sparkdl-bench-cells --model malaria-elephas@best
    """
    with ended_in_every_case():
        from deploy.aws.lambda_ import deployment, package
        from deploy.aws.lambda_.options import FunctionOptions

        where = region_of(region)
        values = {
            "name": name or endpoint,
            "endpoint": endpoint,
            "region": where,
            "role": role,
            "rate": rate,
            "burst": burst,
        }
        options = validated(FunctionOptions, values)
        words = ["--endpoint", endpoint, "--name", options.name, "--region", where]
        words += ["--role", role] if role else []
        by_hand = command("deploy", "lambda", *words, "--delete")
        if delete:
            _delete(options, by_hand, dry_run=dry_run)
            return
        archive = package.pack(_settings(endpoint, model, tracking_uri, api_key_file))
        options = options.model_copy(update={"package": archive})
        cost = _cost(options)
        if dry_run:
            sys.stdout.write(deployment.planned(options) + "\n")
            sys.stderr.write(f"nothing was sent; {cost}\n")
            return
        from deploy.aws.client import Aws

        sys.stderr.write(f"{cost}\n")
        url = deployment.Deployment(Aws(where), options, report, by_hand).apply()
        sys.stdout.write(f"{url}/\n")
        if api_key_file is None:
            sys.stderr.write(
                "the address is public: anyone who knows it can classify images at your cost; "
                "--api-key-file requires a key\n"
            )
        sys.stderr.write(f"it stays until you delete it:\n        {by_hand}\n")


def _delete(options: "FunctionOptions", by_hand: str, *, dry_run: bool) -> None:
    from deploy.aws.client import Aws
    from deploy.aws.lambda_ import deployment

    if dry_run:
        sys.stdout.write(deployment.planned_removal(options) + "\n")
        sys.stderr.write("nothing was sent\n")
        return
    removed = deployment.Deployment(Aws(options.region), options, report, by_hand).remove()
    if removed:
        sys.stderr.write(f"deleted: {', '.join(removed)} {options.name}; the endpoint remains\n")
    else:
        sys.stderr.write(f"nothing named {options.name} exists in {options.region}\n")


def _settings(
    endpoint: str, model: str | None, tracking_uri: str | None, api_key_file: Path | None
) -> "Settings":
    from deploy.aws.lambda_ import package
    from models.card import ModelCard
    from serving.classifier import classifier_folder
    from serving.service.finding import find
    from serving.service.keys import read_keys
    from serving.service.settings import Source

    keys = read_keys(api_key_file) if api_key_file else ()
    source = find(model, tracking_uri) if model else Source()
    card = ModelCard.read(classifier_folder(source.folder)) if source.folder else None
    return package.settings(endpoint, card, source, keys)


def _cost(options: "FunctionOptions") -> str:
    from deploy.aws import prices
    from deploy.aws.lambda_.resources import MEMORY_MB

    price = prices.of_function(options.rate, MEMORY_MB / 1024, _TYPICAL_SECONDS, options.region)
    return (
        f"about {price.by_hour:.2f} USD per hour for {price.origin}, nothing while idle, in "
        "addition to the endpoint"
    )
