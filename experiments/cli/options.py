"""Options and help texts shared by the commands on experiments."""

import tomllib
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from data.project import ROOT

#: Name of the project, as in ``pyproject.toml``.
_PROJECT = "sparkdl-bench"


class Naming:
    """Options for the name of an experiment's record and the positive class of its scores."""

    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the experiment in MLflow; by default, that of the folder or file.",
            metavar="NAME",
        ),
    ]
    positive_class: Annotated[
        str | None,
        typer.Option(
            "--positive-class",
            help="Class for which F1, sensitivity and ROC AUC are computed.",
            metavar="NAME",
        ),
    ]


class RunCommand(TyperCommand):
    """Command that runs an experiment; its help ends with the backends and experiments."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, followed by the backends and the experiments."""
        super().format_help(ctx, formatter)
        from backends.registry import entries
        from experiments.loading import described

        _write_list("Backends (--backend)", {n: e.summary for n, e in entries().items()})
        _write_list("Experiments of the project (--experiment)", described())


def show_version(wanted: bool) -> None:
    """Print the name and version of the project and exit if ``wanted``."""
    if not wanted:
        return
    typer.echo(f"{_PROJECT} {_version()}")
    raise typer.Exit


def _version() -> str:
    """Return the version of the source tree, or of the installed package if there is none."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return metadata.version(_PROJECT)


def _write_list(title: str, content: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, text in content.items():
        table.add_row(f"  {name}", text)
    console = Console(markup=False, highlight=False)
    console.print(f" {title}")
    console.print(table)
    console.print()
