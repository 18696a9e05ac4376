"""``python -m experiments``: what people do with experiments beside running one."""

import sys

if __name__ == "__main__":
    # ``python -m`` looks into the working folder first, and it may hold a data.py.
    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from data.import_path import settle

    settle()

from pathlib import Path
from typing import Annotated

import typer

from data.command_line import HELP_NAMES, end_with
from data.entry import begin
from experiments.chaos_cli import chaos
from experiments.cli import FAILED_STATUS, plain_errors, run
from experiments.cli_options import RunCommand
from experiments.compare_cli import compare, dashboard
from experiments.errors import ExperimentError
from experiments.scale_cli import scale
from experiments.tune_cli import tune

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Run, measure and compare experiments.",
    context_settings={"help_option_names": [*HELP_NAMES]},
)
app.command("run", cls=RunCommand, help="Run an experiment, as run_experiment.py does.")(run)
app.command("chaos")(chaos)
app.command("compare")(compare)
app.command("dashboard")(dashboard)
app.command("scale")(scale)
app.command("tune")(tune)


@app.command()
def send(
    work: Annotated[Path, typer.Option(help="Folder of --work, where records wait.")] = Path(
        "work"
    ),
) -> None:
    """Send the records that wait because their MLflow server was away."""
    with plain_errors(debug=False):
        from data.addresses import local_path
        from data.own_folders import remove_abandoned, remove_abandoned_temporary
        from experiments.outbox import OUTBOX, count, send_waiting

        work = local_path(work)
        if not work.is_dir():
            raise ExperimentError(f"--work {work}: there is no such folder, so no record waits")
        remove_abandoned_temporary()
        remove_abandoned(work / OUTBOX)
        sent = send_waiting(work / OUTBOX)
        left = count(work / OUTBOX)
        typer.echo(f"sent {len(sent)}, still waiting {left}")
        if left:
            raise typer.Exit(FAILED_STATUS)


@app.command()
def benchmark(
    data: Annotated[
        str | None, typer.Option(help="Folder of malaria cells; for part ingest, of any images.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each figure.")] = 3,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="harness, ingest, featurizer, backends, decoders or statistics; repeat it for "
            "several."
        ),
    ] = None,
) -> None:
    """Measure what the project claims of itself, as ratios side by side on this machine."""
    with plain_errors(debug=False):
        from rich import box
        from rich.table import Table

        from data.addresses import local_path
        from experiments import benchmark as measure
        from experiments.console import plain_console

        unknown = set(part or ()) - set(measure.PARTS)
        if unknown:
            raise ExperimentError(
                f"unknown part '{min(unknown)}' (parts: {', '.join(measure.PARTS)})"
            )
        if data is not None and not local_path(data).is_dir():
            raise ExperimentError(f"--data {data}: there is no such folder")
        console = plain_console(sys.stdout)
        console.print(measure.machine())
        table = Table(box=box.SIMPLE_HEAD)
        for column in ("figure", "median", "target", "reached", "measured"):
            table.add_column(column)
        missed = False
        for figure in measure.benchmark(data, repeats=repeats, parts=part or measure.USUAL):
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
            raise typer.Exit(FAILED_STATUS)


if __name__ == "__main__":
    begin()
    end_with(app, "python -m experiments")
