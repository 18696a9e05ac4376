"""``sparkdl-bench data``: prepare, split, describe and synthesize images.

Heavy packages are imported inside the commands, so that invalid options are reported immediately.
"""

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from data import cli_options
from data.addresses import local_path
from data.command_line import application
from data.config import DataConfig
from data.errors import DataError, SparkdlError
from data.exit_status import FAILED
from data.object_store import is_object, use_endpoint
from data.options import SIZE, configured

app = application("Prepare medical images: one patient-split data set for every backend.")

#: Options that must be at least 1.
_COUNTS = ("workers", "sample")

Source = Annotated[
    str, typer.Argument(help="Folder with images, s3:// prefix, table, or 'synthetic'.")
]
S3Endpoint = Annotated[
    str | None, typer.Option(help="Server for s3:// addresses if it is not AWS.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
#: Former names of --split-by and --split-seed.
By = Annotated[Literal["patient", "image"] | None, typer.Option(hidden=True)]
Seed = Annotated[int | None, typer.Option(hidden=True)]


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Report errors in one or two lines; print the traceback only with ``--debug``."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            use_endpoint(options["s3_endpoint"])
            _check_counts(options)
            command(**options)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if options["debug"]:
                traceback.print_exc()
            typer.echo(f"error: {_message(error)}", err=True)
            raise typer.Exit(getattr(error, "exit_status", FAILED)) from None

    return run


def _check_counts(options: dict[str, Any]) -> None:
    for name in _COUNTS:
        value = options.get(name)
        if value is not None and value < 1:
            raise DataError(f"--{name} {value}: must be 1 or more")


def _message(error: Exception) -> str:
    if isinstance(error, (SparkdlError, OSError)):
        return str(error)
    from data.failures import job_failure

    return f"{job_failure(error)} (--debug shows the traceback)"


@app.command()
@cli_options.takes(*cli_options.ALL)
@_plain_errors
def prepare(
    source: Source,
    output: Annotated[str, typer.Argument(help="New folder or s3:// prefix for the data set.")],
    *,
    data_options: Mapping[str, Any],
    workers: Annotated[int, typer.Option(help="Number of images decoded at the same time.")] = 2,
    size: Annotated[int | None, typer.Option(hidden=True)] = None,
    height: Annotated[int | None, typer.Option(hidden=True)] = None,
    width: Annotated[int | None, typer.Option(hidden=True)] = None,
    by: By = None,
    seed: Seed = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Decode SOURCE with Spark into a patient-split Parquet data set in OUTPUT."""
    former = {**_former_division(by, seed), **_former_size(size, height, width)}
    config = configured(source, _with_former(data_options, former))
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
@cli_options.takes(cli_options.Source, cli_options.Classes, cli_options.Division)
@_plain_errors
def split(
    source: Source,
    *,
    output: Annotated[str, typer.Option(help="Manifest to write.")] = "split.json",
    data_options: Mapping[str, Any],
    by: By = None,
    seed: Seed = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Assign the patients of SOURCE to train, validation and test without decoding images."""
    from data.targets import check_file_target

    check_file_target(output, "split.json")
    config = configured(source, _with_former(data_options, _former_division(by, seed)))
    from data.describe import describe_split
    from data.division import divide
    from data.layouts import read_index
    from data.tables import print_description

    index = read_index(_resolve(config, output))
    with _progress("reading") as report:
        division = divide(index, config, progress=report)
    division.manifest.save(output)
    print_description(Console(), describe_split(index, division))
    typer.echo(f"written to {output}, checksum {division.manifest.checksum}")


@app.command()
@cli_options.takes(cli_options.Source)
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
            help="HTML page to write: reads every image for sizes, brightness and color by "
            "patient, duplicates, damaged files and samples."
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="With --html: maximum number of images read per patient.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of images read at the same time.")] = 2,
    data_options: Mapping[str, Any],
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Count images and patients of each class; optionally plot or explore them."""
    if sample is not None and html is None:
        raise DataError("--sample limits the images read for the HTML page: give --html too")
    from data.describe import describe as count
    from data.describe import sample_images
    from data.tables import print_description, print_findings, print_verdict

    config = configured(source, data_options)
    _check_outputs(config.source, output, html)
    with _progress("reading the names of the files"):
        description = count(_resolve(config, output or "describe"))
    print_description(Console(), description)
    if html is not None:
        from data.exploration import explore
        from data.exploration.verdict import verdict

        with _progress() as report:
            findings = explore(description, html, sample=sample, workers=workers, progress=report)
        print_findings(Console(), findings)
        print_verdict(Console(), verdict(description, findings))
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
        typer.Option(help="Reproduce the structure of a published set: 15,114 images, 9 GB."),
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option(
            "--list", help="With --like: the publisher's file names (path, tab, size; .gz too)."
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="With --like: fraction of each patient's images to draw.")
    ] = None,
    patients: Annotated[
        int | None, typer.Option(help="Number of patients, half in each class; 80 by default.")
    ] = None,
    cells_per_patient: Annotated[
        int | None, typer.Option(help="Average number of cells per patient; 20 by default.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the square images in pixels; 96 by default, 450 with --like."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed for the images.")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Number of threads, or of processes with --like.")
    ] = None,
    s3_endpoint: S3Endpoint = None,
    debug: Debug = False,
) -> None:
    """Draw SYNTHETIC cells with the file names and folders of C-NMC 2019."""
    from data.describe import describe as count
    from data.tables import print_description

    numbers = {"patients": patients, "cells_per_patient": cells_per_patient}
    if like is None:
        if file_list is not None or share is not None:
            raise DataError("--list and --share need --like c-nmc")
        from data.synthetic import synthesize as draw

        given = {**numbers, "size": size, "workers": workers}
        folder = draw(output, seed=seed, **{k: v for k, v in given.items() if v is not None})
    else:
        if any(value is not None for value in numbers.values()):
            raise DataError(
                "--like c-nmc determines the patients and cells; use --share to draw fewer images"
            )
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


def _former_division(by: str | None, seed: int | None) -> dict[str, Any]:
    return {"--split-by": by, "--split-seed": seed}


def _former_size(size: int | None, height: int | None, width: int | None) -> dict[str, Any]:
    """Return ``--image-size`` from the options that it replaces."""
    if size is not None and (height is not None or width is not None):
        raise DataError("--size sets height and width; give either it or --height and --width")
    if (height is None) != (width is None):
        raise DataError("--height and --width must be given together, or use --image-size 96x128")
    return {SIZE: f"{height}x{width}" if size is None and height is not None else size}


def _with_former(options: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options merged with those that were given under a former name."""
    given = {name: value for name, value in former.items() if value is not None}
    if twice := sorted(given.keys() & options.keys()):
        raise DataError(f"{twice[0]} was also given under its former name: give {twice[0]} alone")
    return {**options, **given}


def _check_outputs(source: str, plots: Path | None, html: str | None) -> None:
    """Refuse outputs that ``describe`` could not write, before any image is read."""
    from data.exploration import PAGE_EXAMPLE
    from data.targets import check_file_target, check_folder_target, refuse_inside

    if html is not None:
        check_file_target(html, PAGE_EXAMPLE)
    if plots is not None:
        check_folder_target(local_path(plots))
        refuse_inside(local_path(plots), source)


def _resolve(config: DataConfig, output: str | Path) -> DataConfig:
    """Replace the source ``synthetic`` by the folder of the default synthetic cells.

    The folder is next to ``output`` or, if that is in an object store, in the working folder.
    """
    if config.source != "synthetic":
        return config
    from data.synthetic import synthetic_source

    neighbor = "cells" if is_object(str(output)) else output
    return config.model_copy(update={"source": str(synthetic_source(neighbor))})


@contextmanager
def _progress(what: str = "decoding") -> Iterator[Callable[[int, int], None]]:
    """Show progress on stderr; yield a callback for the numbers of processed and of all images."""
    from data.activity import Activity

    with Activity(Console(stderr=True)) as activity:
        activity.begin(what)
        yield lambda done, total: activity.progress(
            done, total, f"{done:,} of {total:,} images" + (", writing" if done == total else "")
        )
