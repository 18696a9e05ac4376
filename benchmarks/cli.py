"""Options and output of ``sparkdl-bench benchmark``."""

import sys
from typing import Annotated

import typer

from data.command_line import plain_errors
from data.exit_status import FAILED


def benchmark(
    data: Annotated[
        str | None,
        typer.Option(help="Folder of malaria cells, or of any images for the part ingest."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Number of measurements of each figure.")] = 3,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="Part to run: harness, ingest, featurizer, backends, serving, scoring, decoders "
            "or statistics; repeat it for several."
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(min=0, help="Minutes of load, with broken images, in the part serving."),
    ] = 0.0,
) -> None:
    """Measure the project's performance claims on this machine, as ratios where possible."""
    with plain_errors():
        from rich import box
        from rich.table import Table

        import benchmarks
        from data.addresses import local_path
        from experiments.cli.console import plain_console
        from experiments.errors import ExperimentError

        unknown = set(part or ()) - set(benchmarks.PARTS)
        if unknown:
            raise ExperimentError(
                f"unknown part '{min(unknown)}' (parts: {', '.join(benchmarks.PARTS)})"
            )
        if data is not None and not local_path(data).is_dir():
            raise ExperimentError(f"--data {data}: there is no such folder")
        console = plain_console(sys.stdout)
        console.print(benchmarks.machine())
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("figure", "median", "target", "reached", "measured"):
            table.add_column(column)
        missed = False
        figures = benchmarks.benchmark(
            data, repeats=repeats, parts=part or benchmarks.USUAL, minutes=minutes
        )
        for figure in figures:
            sign = ">=" if figure.at_least else "<="
            missed |= not figure.reached
            table.add_row(
                figure.name,
                f"{figure.value:,.2f} {figure.unit}",
                "-" if figure.target is None else f"{sign} {figure.target:,g}",
                "-" if figure.target is None else "yes" if figure.reached else "no",
                figure.measured,
            )
            console.print(f"{figure.name}: {figure.value:,.2f} {figure.unit}")
        console.print(table)
        if missed:
            raise typer.Exit(FAILED)
