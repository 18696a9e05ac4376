"""``python -m experiments compare``."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from experiments.cli import plain_errors


def compare(
    experiment: Annotated[
        list[str] | None, typer.Option(help="Name of an experiment; repeat it for several.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="Id of a run, or of a comparison with all its runs; repeatable."),
    ] = None,
    tracking_uri: Annotated[
        list[str] | None,
        typer.Option(help="MLflow database or server; repeat it for records of other machines."),
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Backend that the others are set against.")
    ] = "keras_local",
    output: Annotated[
        Path, typer.Option(help="Folder for report.html, pictures, table.md, table.tex, runs.csv.")
    ] = Path("comparison"),
) -> None:
    """Compare recorded runs: a table here, a report and files for a paper in a folder.

    Without --experiment and --run, the newest comparison is taken.
    """
    with plain_errors(debug=False), tempfile.TemporaryDirectory(prefix="sparkdl-") as folder:
        from rich.console import Console

        from experiments import comparison
        from experiments.comparison import tables

        uris = tracking_uri or ["sqlite:///mlflow.db"]
        found = comparison.find_runs(uris, Path(folder), experiment or (), run or ())
        findings = comparison.compare(found, baseline)
        console = Console(highlight=False, file=sys.stdout)
        console.print(tables.terminal(findings))
        for text in [*findings.sentences, *findings.notes]:
            console.print(f"- {text}")
        for one in findings.excluded:
            console.print(f"- left out: {one.run.label}, seed {one.run.record.seed}: {one.reason}")
        path = comparison.write_report(findings, output)
        console.print(f"report: {path}")
