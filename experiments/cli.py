"""The command line of ``run_experiment.py``: a thin layer over :func:`experiments.run`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from data import object_store
from data.addresses import local_path
from data.entry import begin

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")

FINISHED_STATUS, FAILED_STATUS, WRONG_REQUEST_STATUS = 0, 1, 2
_INTERRUPTED_STATUS = 130

_ASKED, _MACHINE = "What is trained", "Where and how it is recorded"


@app.command()
def run(
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Framework to train with; repeat it for several, or 'all'."),
    ] = None,
    experiment: Annotated[
        str, typer.Option(help="Experiment file, or the name of a shipped one.")
    ] = "synthetic",
    data: Annotated[
        str | None, typer.Option(help="Folder or s3:// prefix with your images.")
    ] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="patient, or image: a leak on purpose, to see what an honest split costs."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="small_cnn, lesion_cnn, mini_xception, or transfer with "
            "--set model.backbone=ResNet50."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Executors of one core.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step over all workers together.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimiser.")] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Decides initial weights and order; repeat it for several runs."),
    ] = None,
    master: Annotated[
        str | None,
        typer.Option(
            help="Spark URL; 'embedded' starts a cluster for the run.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            help="Executors' Python: path (as here), archive (sent to them), image (their own).",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    environment_archive: Annotated[
        str | None,
        typer.Option(
            help="What 'python -m deploy pack' has made; a file or an address.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow database or server.", rich_help_panel=_MACHINE)
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds for one run.", rich_help_panel=_MACHINE)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the experiment, with dots: --set data.split.seed=3",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Folder for prepared data.", rich_help_panel=_MACHINE)
    ] = Path("work"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the newest comparison of the same data and settings, or with a "
            "single run, after its last whole epoch.",
        ),
    ] = False,
    prepared: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3:// prefix for prepared data that executors elsewhere reach.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3:// prefix for what runs leave, of a new experiment.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    s3_endpoint: Annotated[
        str | None,
        typer.Option(
            help="Server of s3:// addresses when it is not AWS, for example MinIO.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            help="What this machine is called in comparisons: laptop, emr, sagemaker.",
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
        bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_MACHINE)
    ] = False,
) -> None:
    """Train the same CNN on the same patients through one or several Spark backends."""
    with plain_errors(debug):
        from experiments.overrides import given

        overrides = given(
            {
                "--backend": backend,
                "--data": data,
                "--split-by": split_by,
                "--model": model,
                "--workers": workers,
                "--epochs": epochs,
                "--batch-size": batch_size,
                "--learning-rate": learning_rate,
                "--seed": seed,
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
            },
            set_,
        )
        object_store.use_endpoint(s3_endpoint)
        from experiments.loading import load

        plan = load(experiment, overrides)
        from experiments.folders import writable_folder

        work = writable_folder("--work", work)
        from experiments.console import Console
        from experiments.runner import run_experiment

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
    """Entry point."""
    begin()
    app()


@contextmanager
def plain_errors(debug: bool) -> Iterator[None]:
    """Turn the project's errors into a line and an exit status; with ``debug`` let them through."""
    from backends.errors import BackendError
    from data.errors import DataError, SparkStartError
    from experiments.errors import ExperimentError
    from models.errors import ModelError

    try:
        yield
    except (BackendError, DataError, ExperimentError, ModelError) as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}\n")
        failed = isinstance(error, SparkStartError)
        raise typer.Exit(FAILED_STATUS if failed else WRONG_REQUEST_STATUS) from None
    except BrokenPipeError:
        raise  # click ends in silence when nobody reads on
    except OSError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(FAILED_STATUS) from None
    except KeyboardInterrupt as interrupt:
        if debug:
            raise
        _say_what_was_closed("interrupted", interrupt)
        raise typer.Exit(_INTERRUPTED_STATUS) from None
    except SystemExit as ended:
        _say_what_was_closed("ended from outside", ended)
        raise


def _say_what_was_closed(how: str, ended: BaseException) -> None:
    """Say what became of the runs under way, which is noted at ``ended``."""
    notes = [f"{how}: {note}" for note in getattr(ended, "__notes__", [])]
    with suppress(OSError):  # the terminal may be closed
        sys.stderr.write("\n" + "\n".join(notes or [how]) + "\n")


def _status(runs: list[tuple[str, bool]]) -> int:
    """Return 1 when a run failed, 2 when all were refused, else 0."""
    if all(refused for _, refused in runs):
        return WRONG_REQUEST_STATUS
    failed = any(status != "FINISHED" and not refused for status, refused in runs)
    return FAILED_STATUS if failed else FINISHED_STATUS
