"""``sparkdl-bench models``: the models that can be named by other commands."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from data.command_line import plain_errors

if TYPE_CHECKING:
    from rich.table import Table

    from serving.stores import ModelStore

#: Digits of a run's id that are shown, by which other commands find it.
_DIGITS = 8


def models(
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="MLflow database or server that records the models.", metavar="URI"),
    ] = None,
) -> None:
    """List the registered models with their newest versions and aliases."""
    with plain_errors():
        from rich.console import Console

        from data.store_address import described, usual_uri
        from serving.stores import open_store

        store = open_store(tracking_uri or usual_uri())
        console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        table = _table(store)
        if table.row_count:
            console.print(table)
        else:
            console.print(
                f"{described(store.uri)} has no registered model: 'sparkdl-bench run' trains one",
                soft_wrap=True,
            )


def _table(store: "ModelStore") -> "Table":
    from rich import box
    from rich.table import Table

    from data.names import visible

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("newest version", justify="right")
    table.add_column("aliases", overflow="fold")
    table.add_column("run", overflow="fold")
    for name in store.names():
        versions = store.versions(name)
        if not versions:
            continue
        aliases = ", ".join(
            f"{visible(alias)} (version {number})" for alias, number in store.aliases(name).items()
        )
        newest = versions[-1]
        table.add_row(visible(name), str(newest.number), aliases, newest.run_id[:_DIGITS])
    return table
