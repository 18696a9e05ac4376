"""``python -m chaos``."""

import sys

if __name__ == "__main__":
    # ``python -m`` searches the working folder first, which may contain a data.py.
    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from data.surroundings import settle

    settle()

from chaos.cli import chaos
from data.command_line import end_with, single_command
from data.entry import begin

if __name__ == "__main__":
    begin()
    end_with(single_command(chaos), "python -m chaos")
