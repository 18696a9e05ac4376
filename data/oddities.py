"""What names and sizes alone show to be odd in a source: nothing is opened to know it."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from data.layouts.base import Index

#: Examples in a note.
_SHOWN = 2


def oddities(index: Index) -> tuple[str, ...]:
    """Return what a reader should know of ``index``, one sentence each."""
    return (*notes_on_case(index.table), *_notes_on_files(index))


def notes_on_case(table: pa.Table) -> list[str]:
    """Name patients that differ in case only: one person, or two, which no program can know."""
    by_name: dict[str, set[str]] = {}
    for name in pc.unique(table.column("patient_id")).to_pylist():
        by_name.setdefault(name.casefold(), set()).add(name)
    return [
        f"{' and '.join(map(repr, sorted(names)))} differ in case only and are taken for "
        f"{'two' if len(names) == 2 else len(names)} patients."
        for _, names in sorted(by_name.items())
        if len(names) > 1
    ]


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
