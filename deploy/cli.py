"""``python -m deploy``: everything between an experiment and the cluster it runs on.

One line for each command: what it needs is imported inside the command's own function.
"""

import typer

from deploy.aws import emr_cli, iam_cli, sagemaker_cli

app = typer.Typer(
    help="Run experiments on clusters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("emr")(emr_cli.emr)
app.add_typer(sagemaker_cli.app, name="sagemaker")
app.command("iam")(iam_cli.iam)
