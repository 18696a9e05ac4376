"""Anomalies of a source that names and sizes reveal, without opening any file."""

from collections.abc import Sequence

import pyarrow.compute as pc

from data.layouts.base import Index

#: Number of examples in a note.
_SHOWN = 2


def oddities(index: Index) -> tuple[str, ...]:
    """Return notes on the anomalies of ``index`` for the user, one sentence each."""
    return tuple(_notes_on_files(index))


def _notes_on_files(index: Index) -> list[str]:
    used = pc.is_in(index.files.column("path"), index.table.column("path"))
    nothing = pc.equal(index.files.column("source_bytes"), 0)
    empty = index.files.filter(pc.and_(used, nothing)).column("path").to_pylist()
    if not empty:
        return []
    return [
        f"Image files that are empty and will be rejected: {len(empty):,} ({_examples(empty)})."
    ]


def _examples(paths: Sequence[str]) -> str:
    return f"for example {', '.join(map(repr, sorted(paths)[:_SHOWN]))}"
