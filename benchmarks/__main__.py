"""``python -m benchmarks``."""

import sys

if __name__ == "__main__":
    # ``python -m`` searches the working folder first, which may contain a data.py.
    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from data.surroundings import settle

    settle()

import typer

from benchmarks.cli import benchmark
from data.command_line import HELP_NAMES, end_with
from data.entry import begin

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": [*HELP_NAMES]},
)
app.command()(benchmark)

if __name__ == "__main__":
    begin()
    end_with(app, "python -m benchmarks")
