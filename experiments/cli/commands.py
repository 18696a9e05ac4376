"""Commands on experiments, for ``python -m experiments`` and ``sparkdl-bench``."""

import os
import sys
from collections.abc import Callable

import typer

from experiments.cli.compare import compare, dashboard
from experiments.cli.options import RunCommand
from experiments.cli.run import run
from experiments.cli.scale import scale
from experiments.cli.sync import sync
from experiments.cli.tune import tune

#: Packages to which commands have moved, by the former name of the command.
_MOVED = {"chaos": "chaos", "benchmark": "benchmarks"}


def add_commands(app: typer.Typer) -> None:
    """Add ``run``, ``compare``, ``scale``, ``tune``, ``dashboard`` and ``sync`` to ``app``."""
    app.command("run", cls=RunCommand, help="Run an experiment, as run_experiment.py does.")(run)
    app.command("compare")(compare)
    app.command("scale")(scale)
    app.command("tune")(tune)
    app.command("dashboard")(dashboard)
    app.command("sync")(sync)


def former_commands(app: typer.Typer) -> None:
    """Add the command names of version 0.1 to ``app``; the help does not list them."""
    app.command("send", hidden=True)(sync)
    for name, package in _MOVED.items():
        app.command(
            name,
            hidden=True,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_forward(package))


def _forward(package: str) -> Callable[[typer.Context], None]:
    """Return a command that replaces this process with ``python -m package``."""

    def forward(context: typer.Context) -> None:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", package, *context.args])

    return forward
