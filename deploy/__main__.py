"""``python -m deploy``."""

import sys

if __name__ == "__main__":
    # ``python -m`` puts the working folder first on the path, where a data.py may shadow ours.
    sys.path.insert(0, __file__.rsplit("/", 2)[0])
    from data.surroundings import settle

    settle()

from data.command_line import end_with
from data.entry import begin
from deploy.cli import app

begin()
end_with(app, "python -m deploy")
