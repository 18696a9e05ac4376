"""``python -m experiments``: run, compare, scale and tune experiments."""

import sys

if __name__ == "__main__":
    # ``python -m`` searches the working folder first, which may contain a data.py.
    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from data.surroundings import settle

    settle()

from data.command_line import application, end_with
from data.entry import begin
from experiments.cli.commands import add_commands, former_commands

app = application("Run, measure and compare experiments.")
add_commands(app)
former_commands(app)

if __name__ == "__main__":
    begin()
    end_with(app, "python -m experiments")
