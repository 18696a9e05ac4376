"""``python -m deploy``: everything between an experiment and the cluster it runs on.

One line for each command: what it needs is imported inside the command's own function.
"""

import typer

from deploy.local_cluster import app as cluster
from deploy.pack import pack

app = typer.Typer(
    help="Run experiments on clusters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("pack")(pack)
app.add_typer(cluster, name="cluster")
