"""``python -m data``."""

from data.cli import app
from data.entry import begin

begin()
app(prog_name="python -m data")
