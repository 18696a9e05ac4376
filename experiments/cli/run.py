"""The command line of ``run_experiment.py``: a thin layer over :func:`experiments.run`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data import cli_options, object_store
from data.addresses import local_path
from data.command_line import HELP_NAMES, end_with, plain_errors
from data.entry import begin
from data.exit_status import FAILED, FINISHED, WRONG_REQUEST
from experiments.cli.options import Naming, RunCommand, show_version

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": [*HELP_NAMES]},
)

_MACHINE = "Where the run happens and how it is recorded"


@app.command(cls=RunCommand)
@cli_options.takes(Naming, *cli_options.ALL)
def run(
    *,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Framework to train with; repeat it for several, 'all' for every one.",
            metavar="NAME",
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="Experiment file, or the name of a shipped experiment. Without it, an experiment "
            "is made from the images of --data, or 'synthetic' is run.",
            metavar="NAME",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Folder, table or s3:// prefix with your images.", metavar="PLACE"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network to train: small_cnn, lesion_cnn, mini_xception, transfer with "
            "--set model.backbone=ResNet50, or caffe with --set model.prototxt=deploy.prototxt "
            "--set model.weights=net.caffemodel.",
            metavar="NAME",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Number of one-core executors.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Number of passes over the training images.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Number of images per step over all workers together.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the optimizer.")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            help="Seed of the initial weights and of the order of the images; repeat it for "
            "several runs.",
            metavar="INTEGER",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="Decision threshold of the positive class: a number, or a rule by which it is "
            "chosen on the validation images: youden, sensitivity=0.95, specificity=0.9.",
            metavar="RULE",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="'temperature' scales the probabilities by a temperature that is fitted to the "
            "validation images.",
            metavar="METHOD",
        ),
    ] = None,
    data_options: Mapping[str, Any],
    master: Annotated[
        str | None,
        typer.Option(
            help="Spark URL; 'embedded' starts a cluster for the run.",
            metavar="URL",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            help="Python of the executors: path (same path as here), archive (sent to them) or "
            "image (installed there).",
            metavar="KIND",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    environment_archive: Annotated[
        str | None,
        typer.Option(
            help="Path or address of the archive made by 'sparkdl-bench deploy pack'.",
            metavar="PLACE",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow database or server that stores the record.",
            metavar="URI",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds that one run may take.", rich_help_panel=_MACHINE)
    ] = None,
    caffe_solver: Annotated[
        Path | None,
        typer.Option(
            help="Solver of a Caffe or CaffeOnSpark job (solver.prototxt), whose network, images "
            "and settings are used where no option gives others.",
            metavar="FILE",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Value of any key of the experiment, with dots: --set imbalance=weights",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    work: Annotated[
        Path,
        typer.Option(
            help="Folder for prepared data and for records that wait to be sent.",
            rich_help_panel=_MACHINE,
        ),
    ] = Path("work"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the newest comparison of the same data and settings, or a single run "
            "after its last whole epoch.",
            rich_help_panel=_MACHINE,
        ),
    ] = False,
    prepared: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3:// prefix for prepared data that remote executors can read.",
            metavar="PLACE",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3:// prefix for the artifacts of a new experiment.",
            metavar="PLACE",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    s3_endpoint: Annotated[
        str | None,
        typer.Option(
            help="S3 server other than AWS for s3:// addresses, for example MinIO.",
            metavar="URL",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            help="Name of this machine in comparisons: laptop, emr, sagemaker.",
            metavar="NAME",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    price_core_hour: Annotated[
        float | None,
        typer.Option(help="Price of a core for an hour.", rich_help_panel=_MACHINE),
    ] = None,
    price_gb_hour: Annotated[
        float | None,
        typer.Option(help="Price of a GiB of memory for an hour.", rich_help_panel=_MACHINE),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print each final record as a line of JSON.", rich_help_panel=_MACHINE
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Print the traceback of an error.", rich_help_panel=_MACHINE),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=show_version),
    ] = False,
) -> None:
    """Train one CNN on the same split of the same images with one or several Spark backends."""
    with plain_errors(debug):
        from experiments.overrides import given

        overrides = given(
            {
                "--backend": backend,
                "--data": data,
                "--model": model,
                "--workers": workers,
                "--epochs": epochs,
                "--batch-size": batch_size,
                "--learning-rate": learning_rate,
                "--seed": seed,
                "--threshold": threshold,
                "--calibrate": calibrate,
                "--master": master,
                "--environment": environment,
                "--environment-archive": environment_archive,
                "--tracking-uri": tracking_uri,
                "--time-limit": time_limit,
                "--prepared": prepared,
                "--artifacts": artifacts,
                "--platform": platform,
                "--price-core-hour": price_core_hour,
                "--price-gb-hour": price_gb_hour,
                **data_options,
            },
            set_,
        )
        object_store.use_endpoint(s3_endpoint)
        if caffe_solver is not None:
            from experiments.caffe_job import read_job

            job = read_job(local_path(caffe_solver), overrides)
            overrides = {**overrides, **job.overrides}
            for line in job.lines:
                typer.echo(line, err=json)
        from experiments.loading import load

        plan = load(experiment, overrides)
        from experiments.folders import writable_folder

        work = writable_folder("--work", work)
        from experiments.cli.console import Console
        from experiments.runs.runner import run_experiment

        records = run_experiment(
            plan, work=local_path(work), observer=Console(quiet_stdout=json), resume=resume
        )
    if json:
        for record in records:
            sys.stdout.write(record.model_dump_json() + "\n")
    if debug:
        for record in records:
            sys.stderr.write(record.traceback)
    raise typer.Exit(_status([(record.status, record.refused) for record in records]))


def main() -> None:
    """Run the command line."""
    begin()
    end_with(app)


def _status(runs: list[tuple[str, bool]]) -> int:
    """Return the exit status: 2 if all runs were refused, 1 if any failed, else 0."""
    if all(refused for _, refused in runs):
        return WRONG_REQUEST
    failed = any(status != "FINISHED" and not refused for status, refused in runs)
    return FAILED if failed else FINISHED
