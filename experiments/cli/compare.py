"""``sparkdl-bench compare`` and ``dashboard``: views of recorded runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.addresses import local_path
from data.command_line import plain_errors
from data.own_folders import temporary_folder
from data.store_address import usual_uri

if TYPE_CHECKING:
    from experiments.tracking.dashboard import Dashboard


def compare(
    experiment: Annotated[
        list[str] | None, typer.Option(help="Name of an experiment; repeat it for several.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="ID of a run, or of a comparison with all its runs; repeatable."),
    ] = None,
    tracking_uri: Annotated[
        list[str] | None,
        typer.Option(help="MLflow database or server; repeat it for records of other machines."),
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Backend that the others are compared with.")
    ] = "keras_local",
    margin: Annotated[
        float | None,
        typer.Option(
            help="Largest difference of F1 that is irrelevant, for example 0.02: test whether the "
            "backends are equivalent to the baseline within it."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, figures, table.md, table.tex, runs.csv; it must not "
            "contain a comparison yet. By default a new folder below comparison/, named by the "
            "time and the experiment.",
            show_default=False,
        ),
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Set the alias 'best' of the registered network with the highest F1 on the "
            "validation patients.",
        ),
    ] = False,
) -> None:
    """Compare recorded runs: print a table, and write a report and files for a paper to a folder.

    Without --experiment and --run, the newest comparison is used. An earlier report is never
    overwritten.
    """
    with plain_errors(), temporary_folder("compare") as folder:
        from data.activity import Activity
        from experiments import comparison
        from experiments.cli.console import plain_console
        from experiments.comparison import tables
        from experiments.comparison.findings import check_margin
        from experiments.comparison.output_folder import new_folder
        from experiments.comparison.recommendation import recommendation
        from experiments.tracking.abandoned import tidy

        check_margin(margin)
        target = _target(output)
        uris = tracking_uri or [usual_uri()]
        for uri in uris:
            for sentence in tidy(uri):
                typer.echo(f"note: {sentence}", err=True)
        console = plain_console(sys.stdout)
        with Activity(console) as activity:
            activity.begin("reading the records")
            found = comparison.find_runs(uris, folder, experiment or (), run or ())
            findings = comparison.compare(found, baseline, margin)
        advice = recommendation(findings)
        console.print(advice.paragraph, soft_wrap=True)
        for setting, text in advice.settings:
            console.print(f"- {setting}: {text}", soft_wrap=True)
        console.print()
        console.print(tables.terminal(findings))
        for text in [*findings.sentences, *findings.notes]:
            console.print(f"- {text}", soft_wrap=True)
        for one in findings.excluded:
            excluded = f"{one.run.label}, seed {one.run.record.seed}: {one.reason}"
            console.print(f"- excluded: {excluded}", soft_wrap=True)
        with Activity(console) as activity:
            activity.begin("drawing the report")
            path = comparison.write_report(findings, target or new_folder(findings.title))
        console.print(f"report: {path}", soft_wrap=True)
        if promote:
            console.print(f"promoted: {comparison.promote(findings)}", soft_wrap=True)


def _target(output: Path | None) -> Path | None:
    """Return the folder given by the user, which must be writable and without a comparison."""
    if output is None:
        return None
    from experiments.comparison.output_folder import check_unused
    from experiments.folders import writable_folder

    target = writable_folder("--output", local_path(output))
    check_unused(target)
    return target


def dashboard(
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow database.")] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on the loopback interface.")
    ] = 5000,
) -> None:
    """Start MLflow's user interface on loopback and print its addresses; Ctrl-C stops it."""
    from data.activity import Activity
    from experiments.cli.console import plain_console
    from experiments.tracking.dashboard import Dashboard

    console = plain_console(sys.stdout)
    with (
        plain_errors(),
        temporary_folder("dashboard") as folder,
        Activity(console) as activity,
    ):
        uri = tracking_uri or usual_uri()
        made = Dashboard(uri, port, folder)
        console.print(f"starting MLflow's user interface for {uri}", soft_wrap=True)
        activity.begin("starting MLflow")
        with made as board:
            pages = board.pages()
            activity.end()
            for name, address in pages.items():
                typer.echo(f"{name}: {address}")
            typer.echo("Press Ctrl-C to stop.")
            _wait(board)


def _wait(board: "Dashboard") -> None:
    """Block until the server exits or Ctrl-C is pressed."""
    try:
        board.wait()
    except KeyboardInterrupt:
        typer.echo("")
