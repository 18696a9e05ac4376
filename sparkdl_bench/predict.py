"""``sparkdl-bench predict``: classification of images with a trained model."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data import cli_options, object_store
from data.addresses import local_path
from data.command_line import plain_errors
from data.exit_status import FAILED, FINISHED
from data.storage import absolute

if TYPE_CHECKING:
    from rich.console import Console

    from data.activity import Activity
    from serving.find import FoundModel
    from serving.predict.engines import Engine
    from serving.predict.images import Images
    from serving.predict.local import Seen
    from serving.predict.results import Results
    from sparkdl_bench.external_validation import Examination, Validation

_SPARK = "Many images"
_RECORD = "Scores, if the classes are known"
#: Number of images from which progress is shown.
_MANY = 64


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
    ] = "embedded",
    workers: Annotated[
        int, typer.Option(min=1, help="Number of one-core executors.", rich_help_panel=_SPARK)
    ] = 2,
    environment_archive: Annotated[
        str | None,
        typer.Option(
            help="Archive made by 'sparkdl-bench deploy pack', from which the executors of "
            "--master run Python; by default, they use the path of Python on this machine.",
            metavar="PLACE",
            rich_help_panel=_SPARK,
        ),
    ] = None,
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
        from serving.predict.engines import Engine

        engine = Engine(spark, master, workers, environment_archive, local_path(work), damaged)
        command = _Command(model, paths, data_options, engine, output, tracking_uri)
        status = command.run(json=json, scores=scores, record=record)
    raise typer.Exit(status)


@dataclass(frozen=True)
class _Command:
    """One call of the command."""

    model: str
    paths: Sequence[str]
    options: Mapping[str, Any]
    engine: "Engine"
    output: str | None
    tracking_uri: str | None

    def run(self, *, json: bool, scores: bool, record: bool) -> int:
        """Classify the images, print and write the results, and return the exit status."""
        from data.activity import Activity
        from experiments.cli.console import plain_console
        from models.card import ModelCard
        from serving.find import find_model
        from serving.predict import output
        from serving.predict.finding import find_images
        from serving.predict.terminal import show

        if self.output is not None:
            output.check_output(self.output, self.paths)
        console = plain_console(sys.stderr if json else sys.stdout)
        found = find_model(self.model, self.tracking_uri)
        classes = ModelCard.read(found.folder).class_names
        with Activity(plain_console(sys.stderr)) as activity:
            activity.begin("reading the names of the files")
            images = find_images(self.paths, self.options, classes, scores=scores)
            activity.end()
            for line in images.reading:
                console.print(line, soft_wrap=True)
            examination = None
            if images.is_labeled:
                from sparkdl_bench.external_validation import Examination

                examination = Examination(found.folder)
            if self.engine.uses_spark(images):
                text = f"classifying {len(images.paths):,} images on Spark"
                hint = "" if self.engine.spark else " (--no-spark classifies them in this process)"
                console.print(text + hint, soft_wrap=True)
            results = self._classify(found, images, activity, examination)
        validation = None
        if examination is not None and len(results.scored):
            from sparkdl_bench import external_validation

            validation = external_validation.validate(results, examination)
        more = None if validation is None else validation.to_json()
        if json:
            output.print_lines(results, sys.stdout, more)
        show(console, results, names_output=self.output is not None)
        if validation is not None:
            external_validation.show(console, validation, found)
        if self.output is not None:
            for path in output.write(results, found, self.output, more):
                console.print(f"written {path}", soft_wrap=True)
        if validation is not None and record:
            self._record(console, validation, found)
        return FINISHED if len(results.scored) else FAILED

    def _classify(
        self,
        found: "FoundModel",
        images: "Images",
        activity: "Activity",
        examination: "Examination | None",
    ) -> "Results":
        if self.engine.uses_spark(images) or len(images.paths) >= _MANY:
            activity.begin("classifying")

        def on_progress(done: int, total: int) -> None:
            activity.progress(done, total, f"{done:,} of {total:,} images")

        def on_pixels(seen: "Seen") -> None:
            if examination is not None:
                examination.add(seen)

        return self.engine.classify(found, images, on_progress=on_progress, on_pixels=on_pixels)

    def _record(self, console: "Console", validation: "Validation", found: "FoundModel") -> None:
        from sparkdl_bench import external_validation

        line = external_validation.record(
            validation,
            found,
            absolute(self.paths[0]),
            tracking_uri=self.tracking_uri,
            work=self.engine.work,
            on_wait=lambda text: console.print(f"note: {text}", soft_wrap=True),
        )
        console.print(line, soft_wrap=True)
