"""All commands of the project as one typer application."""

from typing import Annotated

import typer

from benchmarks.cli import benchmark
from chaos.cli import chaos
from data.cli import app as data
from data.command_line import application
from deploy.cli import app as deploy
from experiments.cli.commands import add_commands
from experiments.cli.options import show_version
from serving.cli import models
from sparkdl_bench.predict import predict

app = application("Compare Spark deep-learning backends on your own medical images.")
add_commands(app)
app.command("predict")(predict)
app.command("models")(models)
app.add_typer(data, name="data")
app.command("chaos")(chaos)
app.command("benchmark")(benchmark)
app.add_typer(deploy, name="deploy")


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=show_version),
    ] = False,
) -> None:
    """Options of the command itself."""
