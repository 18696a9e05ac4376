"""Helpers for tests of layouts: create empty files and read them with a layout."""

from pathlib import Path

from data.config import DataConfig
from data.layouts import Index, read_index
from data.rejects import LOST, of_kinds


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def read(root: Path, **options) -> Index:
    return read_index(DataConfig(source=str(root), **options))


def column(index: Index, name: str) -> list[str]:
    return [*index.table.column(name).to_pylist()]


def rejects(index: Index) -> dict[str, str]:
    """Return path and reason of the files that could have been images of the data set."""
    rows = of_kinds(index.rejects, LOST).to_pylist()
    return {row["path"]: row["reason"] for row in rows}
