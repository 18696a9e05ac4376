"""The commands on experiments, for ``python -m experiments`` and ``sparkdl-bench``."""

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

#: Commands that moved to packages of their own, by their former names.
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
    """Add the names of version 0.1, which the help does not list, to ``app``."""
    app.command("send", hidden=True)(sync)
    for name, package in _MOVED.items():
        app.command(
            name,
            hidden=True,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_forward(package))


def _forward(package: str) -> Callable[[typer.Context], None]:
    """Return a command that runs ``python -m package`` in place of this process."""

    def forward(context: typer.Context) -> None:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", package, *context.args])

    return forward
