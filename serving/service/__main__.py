"""``python -m serving.service``: the service without the other commands of the project."""

import sys

if __name__ == "__main__":
    # ``python -m`` searches the working folder first, which may contain a data.py.
    sys.path.insert(0, __file__.rsplit("/", 3)[0])
    from data.surroundings import settle

    settle()

from data.command_line import end_with, single_command
from data.entry import begin
from serving.service.cli import serve

if __name__ == "__main__":
    begin()
    end_with(single_command(serve), "python -m serving.service")
