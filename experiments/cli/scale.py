"""``sparkdl-bench scale``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from data import cli_options
from data.addresses import local_path
from data.command_line import plain_errors
from experiments.cli.options import Naming


@cli_options.takes(Naming, *cli_options.ALL)
def scale(
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Framework to train with; repeat it for several, 'all' for every one."),
    ] = None,
    workers: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of workers; repeat it for a curve.")
    ] = None,
    images: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number of training images; repeat it for a curve."),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Experiment file, or the name of a shipped experiment.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder or s3:// prefix.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of passes over the training images.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images per step over all workers; the same at every size."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of a run; repeat it for several runs.")
    ] = None,
    master: Annotated[str | None, typer.Option(help="Spark URL.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow database or server.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the experiment, with dots."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do not repeat runs that have finished.")
    ] = False,
    work: Annotated[Path, typer.Option(help="Folder for prepared data.")] = Path("work"),
    output: Annotated[Path, typer.Option(help="Folder for tables and curves.")] = Path("scaling"),
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Run backends at several numbers of workers and images; report where workers stop helping."""
    with plain_errors():
        work, output = local_path(work), local_path(output)
        from data.activity import Activity
        from experiments import scaling
        from experiments.cli.console import Console, plain_console
        from experiments.errors import ExperimentError
        from experiments.folders import writable_folder
        from experiments.narrow_table import WIDTH
        from experiments.overrides import given
        from experiments.scaling.study import points
        from experiments.scaling.tables import terminal

        asked = points(workers or [], images or [])
        if not asked:
            raise ExperimentError("nothing to scale: give --workers 1 --workers 2, or --images 200")
        work, output = writable_folder("--work", work), writable_folder("--output", output)
        overrides = given(
            {
                "--data": data,
                "--epochs": epochs,
                "--batch-size": batch_size,
                "--seed": seed,
                "--master": master,
                "--tracking-uri": tracking_uri,
                **data_options,
            },
            set_,
        )
        console = plain_console(sys.stdout)
        runs = scaling.run_study(
            experiment,
            backend or ["keras_local", "elephas"],
            asked,
            overrides=overrides,
            work=work,
            observer=Console(),
            resume=resume,
        )
        found = scaling.results(runs)
        output.mkdir(parents=True, exist_ok=True)
        for size, means in (("workers", found.workers), ("images", found.images)):
            if len(means):
                means.to_csv(output / f"{size}.csv", index=False)
                console.print(terminal(means, size, max(WIDTH, console.width)))
        for text in (*found.sentences(), *found.failures):
            console.print(f"- {text}", soft_wrap=True)
        with Activity(console) as activity:
            activity.begin("drawing curves")
            written = scaling.draw_scaling(found, output)
        for path in written:
            console.print(f"curves: {path}", soft_wrap=True)
