"""The command ``sparkdl-bench``: every command of the project under one name.

Nothing of the project is imported before the search path for modules is in order: a ``PYTHONPATH``
may name a folder that holds another ``data`` or ``models``.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the command with the arguments of this process, and end the process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from data.exit_status import INTERRUPTED

    try:
        from data.import_path import settle

        settle()
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> None:
    from typing import Annotated

    import typer

    from benchmarks.cli import benchmark
    from chaos.cli import chaos
    from data.cli import app as data
    from data.command_line import end_with
    from data.entry import begin
    from deploy.cli import app as deploy
    from experiments.cli.commands import add_commands
    from experiments.cli.options import application, show_version

    app = application("Compare Spark deep-learning backends on your own medical images.")
    add_commands(app)
    app.add_typer(data, name="data")
    app.command("chaos")(chaos)
    app.command("benchmark")(benchmark)
    app.add_typer(deploy, name="deploy")

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option(
                "--version", help="Show the version.", is_eager=True, callback=show_version
            ),
        ] = False,
    ) -> None:
        pass

    begin()
    end_with(app, "sparkdl-bench")
