"""``python -m data``."""

if __name__ == "__main__":
    from data.import_path import settle

    settle()

from data.cli import app
from data.entry import begin

begin()
app(prog_name="python -m data")
