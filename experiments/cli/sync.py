"""The command ``sync``: sends the records that are waiting for their MLflow server."""

from pathlib import Path
from typing import Annotated

import typer

from data.command_line import plain_errors
from data.exit_status import FAILED
from experiments.errors import ExperimentError


def sync(
    work: Annotated[
        Path, typer.Option(help="The --work folder of the runs, which holds waiting records.")
    ] = Path("work"),
) -> None:
    """Send the records that are waiting because their MLflow server was unreachable."""
    with plain_errors():
        from data.addresses import local_path
        from data.own_folders import remove_abandoned, remove_abandoned_temporary
        from experiments.tracking.outbox import OUTBOX, count, send_waiting

        work = local_path(work)
        if not work.is_dir():
            raise ExperimentError(
                f"--work {work}: there is no such folder, so no records are waiting"
            )
        remove_abandoned_temporary()
        remove_abandoned(work / OUTBOX)
        sent = send_waiting(work / OUTBOX)
        left = count(work / OUTBOX)
        typer.echo(f"sent {len(sent)}, still waiting {left}")
        if left:
            raise typer.Exit(FAILED)
