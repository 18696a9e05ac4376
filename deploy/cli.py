"""``python -m deploy``: everything between an experiment and the cluster it runs on.

One line for each command: what it needs is imported inside the command's own function.
"""

import typer

from deploy import secrets_cli

app = typer.Typer(
    help="Run experiments on clusters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("env")(secrets_cli.env)


@app.callback()
def deploy() -> None:
    """Keep ``env`` a sub-command while it is the only one."""
