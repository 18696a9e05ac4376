"""``sparkdl-bench predict``: classification of images with a trained model."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data import cli_options, object_store
from data.command_line import plain_errors
from data.exit_status import FAILED, FINISHED

if TYPE_CHECKING:
    from rich.console import Console

    from data.activity import Activity
    from serving.find import FoundModel
    from serving.predict.images import Images
    from serving.predict.results import Results

_SPARK = "Many images"
_RECORD = "Scores, if the classes are known"
#: Number of images from which progress is shown.
_MANY = 64
#: Cluster that the command starts and stops itself.
_EMBEDDED = "embedded"


@cli_options.takes(cli_options.Source, cli_options.Classes)
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name of a registered model (newest version), name@alias, name/3, id of a run, "
            "or folder of a model.",
        ),
    ],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Images, folders with images, patterns such as 'cells/*.png', tables with a "
            "column of paths, or s3:// addresses.",
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="File for all results: .csv, .parquet or .json. Means by patient are in "
            "NAME.patients.csv or in the same JSON.",
            metavar="FILE",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each result as a line of JSON.")
    ] = False,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow database or server that records the model.",
            metavar="URI",
        ),
    ] = None,
    damaged: Annotated[
        Literal["reject", "accept"],
        typer.Option(
            help="Treatment of damaged images that a decoder can repair: 'accept' classifies them."
        ),
    ] = "reject",
    data_options: Mapping[str, Any],
    scores: Annotated[
        bool,
        typer.Option(
            "--scores/--no-scores",
            help="Compute scores if folders, a table or --labels name the classes of the images.",
            rich_help_panel=_RECORD,
        ),
    ] = True,
    record: Annotated[
        bool,
        typer.Option(
            "--record/--no-record",
            help="Record the scores in MLflow, as a child of the run that trained the model.",
            rich_help_panel=_RECORD,
        ),
    ] = True,
    spark: Annotated[
        bool | None,
        typer.Option(
            "--spark/--no-spark",
            help="Classify on Spark; by default, above 5,000 images without known classes.",
            show_default=False,
            rich_help_panel=_SPARK,
        ),
    ] = None,
    master: Annotated[
        str,
        typer.Option(
            help="Spark URL; 'embedded' starts a cluster for the command.",
            metavar="URL",
            rich_help_panel=_SPARK,
        ),
    ] = _EMBEDDED,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of one-core executors.", rich_help_panel=_SPARK)
    ] = 2,
    work: Annotated[
        Path,
        typer.Option(
            help="Folder for unfinished results and for records that wait to be sent.",
            rich_help_panel=_SPARK,
        ),
    ] = Path("work"),
    s3_endpoint: Annotated[
        str | None, typer.Option(help="Server for s3:// addresses if it is not AWS.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Classify images with a trained model.

    If the classes of the images are known, the model is validated on them: scores, their intervals
    and a confusion matrix are printed and recorded.
    """
    with plain_errors(debug):
        object_store.use_endpoint(s3_endpoint)
        from data.activity import Activity
        from experiments.cli.console import plain_console
        from models.card import ModelCard
        from serving.find import find_model
        from serving.predict import output as files
        from serving.predict.finding import find_images
        from serving.predict.terminal import show

        if output is not None:
            files.check_output(output, paths)
        console = plain_console(sys.stderr if json else sys.stdout)
        found = find_model(model, tracking_uri)
        card = ModelCard.read(found.folder)
        with Activity(plain_console(sys.stderr)) as activity:
            activity.begin("reading the names of the files")
            images = find_images(paths, data_options, card.class_names, scores=scores)
            for line in (*images.reading, *(f"note: {note}" for note in images.notes)):
                console.print(line, soft_wrap=True)
            results = _classify(
                found, images, activity, console, damaged, spark, master, workers, work
            )
        if json:
            for row in files.rows(results):
                sys.stdout.write(_line(row))
        show(console, results, names_output=output is not None)
        if output is not None:
            for path in files.write(results, found, output):
                console.print(f"written {path}", soft_wrap=True)
    raise typer.Exit(FINISHED if len(results.scored) else FAILED)


def _classify(
    found: "FoundModel",
    images: "Images",
    activity: "Activity",
    console: "Console",
    damaged: Literal["reject", "accept"],
    spark: bool | None,
    master: str,
    workers: int,
    work: Path,
) -> "Results":
    from serving.predict.bulk import SPARK_FROM_IMAGES

    count = len(images.paths)
    on_progress = _progress(activity, count)
    if spark is None:
        spark = count > SPARK_FROM_IMAGES and not images.is_labeled
    if spark or master != _EMBEDDED:
        from serving.predict import bulk

        console.print(f"classifying {count:,} images on Spark (--no-spark classifies them here)")
        return bulk.classify(
            found,
            images,
            work=work,
            master=master,
            workers=workers,
            on_progress=on_progress,
        )
    from serving.classifier import Classifier
    from serving.predict import local

    classifier = Classifier.open(found.folder)
    return local.classify(classifier, images, damaged=damaged, on_progress=on_progress)


def _progress(activity: "Activity", count: int) -> Callable[[int, int], None]:
    """Begin to show the progress for many images, and return a callback for it."""
    if count < _MANY:
        activity.end()
        return lambda done, total: None
    activity.begin("classifying")

    def show(done: int, total: int) -> None:
        activity.progress(done, total, f"{done:,} of {total:,} images")

    return show


def _line(row: Mapping[str, Any]) -> str:
    import json

    return json.dumps(row, ensure_ascii=False) + "\n"
