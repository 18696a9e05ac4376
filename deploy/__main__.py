"""``python -m deploy``."""

from deploy.cli import app

app(prog_name="python -m deploy")
