"""``python -m deploy``."""

from data.entry import begin
from deploy.cli import app

begin()
app(prog_name="python -m deploy")
