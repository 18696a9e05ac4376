"""``python -m data``: prepare, split, describe and synthesize images.

Everything heavy is imported inside the commands: a wrong option is answered at once.
"""

import functools
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from data.addresses import local_path
from data.config import DataConfig, LayoutName
from data.errors import DataError, SparkStartError
from data.object_store import is_object, use_endpoint
from data.options import classes_of, division_of, image_of

app = typer.Typer(
    help="Prepare medical images: one patient-split data set for every backend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WRONG_REQUEST = 2
FAILED = 1
#: Options that no command takes below 1.
_COUNTS = ("workers", "sample")

Source = Annotated[
    str, typer.Argument(help="Folder with images, s3:// prefix, CSV file, or 'synthetic'.")
]
LayoutOption = Annotated[
    LayoutName | None, typer.Option("--layout", help="Recognised by looking when not named.")
]
GroupPattern = Annotated[
    str | None,
    typer.Option(
        help="Layout folders: regular expression with the patient in parentheses, "
        r"searched in the path below SOURCE, for example '(patient_\d+)'."
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        help="Class to take, in label order; repeat. NEW=A,B merges A and B. Default: all, sorted.",
    ),
]
Validation = Annotated[float, typer.Option(help="Share of the images to validate on.")]
Test = Annotated[float, typer.Option(help="Share of the images to test on.")]
Seed = Annotated[int, typer.Option(help="Seed of the split.")]
By = Annotated[
    Literal["patient", "image"],
    typer.Option(help="What stays on one side; 'image' lets patients leak, to measure the leak."),
]
TestFold = Annotated[
    list[str] | None, typer.Option(help="Publisher's fold to test on, for example fold_2; repeat.")
]
ValidationFold = Annotated[
    list[str] | None, typer.Option(help="Publisher's fold to validate on; repeat.")
]
S3Endpoint = Annotated[
    str | None, typer.Option(help="Server of s3:// addresses when it is not AWS.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Answer what a user can put right in one or two lines, with the traceback on request."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            use_endpoint(options["s3_endpoint"])
            _check_counts(options)
            command(**options)
        except (DataError, ValidationError, OSError) as error:
            if options["debug"]:
                traceback.print_exc()
            typer.echo(f"error: {_message(error)}", err=True)
            failed = isinstance(error, (OSError, SparkStartError))
            code = FAILED if failed else WRONG_REQUEST
            raise typer.Exit(code) from None

    return run


def _check_counts(options: dict[str, Any]) -> None:
    for name in _COUNTS:
        value = options.get(name)
        if value is not None and value < 1:
            raise DataError(f"--{name} {value}: ask for 1 or more")


def _message(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        ": ".join(
            filter(
                None,
                (".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")),
            )
        )
        for problem in error.errors()
    )


@app.command()
@_plain_errors
def prepare(
    source: Source,
    output: Annotated[str, typer.Argument(help="New folder or s3:// prefix for the data set.")],
    *,
    layout: LayoutOption = None,
    size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; 48 when nothing is given.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    color: Annotated[Literal["rgb", "grey"], typer.Option(help="Colour mode.")] = "rgb",
    group_pattern: GroupPattern = None,
    classes: Classes = None,
    validation: Validation = 0.15,
    test: Test = 0.2,
    seed: Seed = 0,
    by: By = "patient",
    test_fold: TestFold = None,
    validation_fold: ValidationFold = None,
    split: Annotated[
        str | None, typer.Option(help="Manifest of 'split' to use instead of a new division.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Images decoded at the same time.")] = 2,
    damaged: Annotated[
        Literal["reject", "accept"],
        typer.Option(help="Images whose damage a decoder repairs: 'accept' takes and notes them."),
    ] = "reject",
    max_reject_share: Annotated[
        float, typer.Option(help="Share of unreadable images above which nothing is written.")
    ] = 0.05,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Decode SOURCE with Spark into a patient-split Parquet data set in OUTPUT."""
    division = division_of(
        validation=validation,
        test=test,
        seed=seed,
        by=by,
        test_folds=test_fold,
        validation_folds=validation_fold,
        manifest=split,
    )
    config = DataConfig(
        source=source,
        layout=layout,
        group_pattern=group_pattern,
        classes=classes_of(classes),
        image=image_of(size, height, width, color),
        split=division,
        damaged=damaged,
        max_reject_share=max_reject_share,
    )
    from data.describe import describe as count
    from data.ingest import prepare as ingest
    from data.process_environment import note
    from data.tables import print_description

    if set_aside := note(here=True):
        typer.echo(f"note: {set_aside}", err=True)
    with _progress() as report:
        prepared = ingest(config, output, workers=workers, progress=report)
    print_description(Console(), count(DataConfig(source=prepared.uri)))


@app.command()
@_plain_errors
def split(
    source: Source,
    *,
    output: Annotated[str, typer.Option(help="Manifest to write.")] = "split.json",
    layout: LayoutOption = None,
    group_pattern: GroupPattern = None,
    classes: Classes = None,
    validation: Validation = 0.15,
    test: Test = 0.2,
    seed: Seed = 0,
    by: By = "patient",
    test_fold: TestFold = None,
    validation_fold: ValidationFold = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Write which patients of SOURCE train, validate and test, without decoding an image."""
    from data.targets import check_file_target

    check_file_target(output, "split.json")
    config = DataConfig(
        source=source,
        layout=layout,
        group_pattern=group_pattern,
        classes=classes_of(classes),
        split=division_of(
            validation=validation,
            test=test,
            seed=seed,
            by=by,
            test_folds=test_fold,
            validation_folds=validation_fold,
        ),
    )
    from data.classes import select_classes
    from data.describe import describe_split
    from data.layouts import read_index
    from data.splitting import make_split, regroup
    from data.tables import print_description

    index = read_index(_resolve(config, output))
    table, class_names, notes = select_classes(index, config.classes)
    manifest = make_split(regroup(table, config.split.by), config.split)
    manifest.save(output)
    print_description(Console(), describe_split(index, table, class_names, notes, manifest))
    typer.echo(f"written to {output}, checksum {manifest.checksum}")


@app.command()
@_plain_errors
def describe(
    source: Annotated[str, typer.Argument(help="As for prepare, or a prepared data set.")],
    *,
    output: Annotated[
        Path | None, typer.Option(help="Folder for plots (PNG): counts, histogram, samples.")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            help="Page to write: reads every image for sizes, brightness and colour by patient, "
            "duplicates, damaged files and samples."
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="With --html: read only so many images of a patient.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Images read at the same time.")] = 2,
    layout: LayoutOption = None,
    group_pattern: GroupPattern = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Count images and patients of each class, and draw or explore them on request."""
    if sample is not None and html is None:
        raise DataError("--sample says how many images are read for the page: give --html too")
    from data.describe import describe as count
    from data.describe import sample_images
    from data.tables import print_description, print_findings

    config = DataConfig(source=source, layout=layout, group_pattern=group_pattern)
    _check_outputs(config.source, output, html)
    with _progress("reading the names of the files"):
        description = count(_resolve(config, output or "describe"))
    print_description(Console(), description)
    if html is not None:
        from data.exploration import explore

        with _progress() as report:
            findings = explore(description, html, sample=sample, workers=workers, progress=report)
        print_findings(Console(), findings)
        typer.echo(f"written {html}")
    if output is not None:
        from data.plots import save_plots

        for path in save_plots(description, sample_images(description), local_path(output)):
            typer.echo(f"written {path}")


@app.command()
@_plain_errors
def synthesize(
    output: Annotated[Path, typer.Argument(help="New folder for the images.")],
    *,
    like: Annotated[
        Literal["c-nmc"] | None,
        typer.Option(help="Draw the full shape of a published set: 15,114 images, 9 GB."),
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option(
            "--list", help="With --like: the publisher's file names (path, tab, size; .gz too)."
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="With --like: share of everybody's images.")
    ] = None,
    patients: Annotated[
        int | None, typer.Option(help="Half of them in each class; 80 when not given.")
    ] = None,
    cells_per_patient: Annotated[
        int | None, typer.Option(help="Cells of a patient, on average; 20 when not given.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the square images in pixels; 96, and 450 with --like."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes or threads that draw.")] = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Draw SYNTHETIC cells with the names and folders of C-NMC 2019."""
    from data.describe import describe as count
    from data.tables import print_description

    numbers = {"patients": patients, "cells_per_patient": cells_per_patient}
    if like is None:
        if file_list is not None or share is not None:
            raise DataError("--list and --share belong to --like c-nmc")
        from data.synthetic import synthesize as draw

        given = {**numbers, "size": size, "workers": workers}
        folder = draw(output, seed=seed, **{k: v for k, v in given.items() if v is not None})
    else:
        if any(value is not None for value in numbers.values()):
            raise DataError("--like c-nmc has its own patients and cells; --share takes a part")
        from data.synthetic_c_nmc import OFFICIAL_SIZE, synthesize_c_nmc

        with _progress("drawing") as report:
            folder = synthesize_c_nmc(
                output,
                file_list=file_list,
                size=OFFICIAL_SIZE if size is None else size,
                share=1.0 if share is None else share,
                seed=seed,
                workers=workers,
                progress=report,
            )
    print_description(Console(), count(DataConfig(source=str(folder), layout="c-nmc")))


def _check_outputs(source: str, plots: Path | None, html: str | None) -> None:
    """Refuse what ``describe`` could not write, before an image is looked at."""
    from data.exploration import PAGE_EXAMPLE
    from data.targets import check_file_target, check_folder_target, refuse_inside

    if html is not None:
        check_file_target(html, PAGE_EXAMPLE)
    if plots is not None:
        check_folder_target(local_path(plots))
        refuse_inside(local_path(plots), source)


def _resolve(config: DataConfig, output: str | Path) -> DataConfig:
    """Put the folder of the default synthetic cells, beside ``output`` or here, for their name."""
    if config.source != "synthetic":
        return config
    from data.synthetic import synthetic_source

    beside = "cells" if is_object(str(output)) else output
    return config.model_copy(update={"source": str(synthetic_source(beside))})


@contextmanager
def _progress(what: str = "decoding") -> Iterator[Callable[[int, int], None]]:
    """Show the work on stderr; yield a function that takes images done and images in all."""
    from data.activity import Activity

    with Activity(Console(stderr=True)) as activity:
        activity.begin(what)
        yield lambda done, total: activity.progress(
            done, total, f"{done:,} of {total:,} images" + (", writing" if done == total else "")
        )
