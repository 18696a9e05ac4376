"""Conversion of Arrow columns to Python objects, which are ten times as large, in small batches."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_AT_ONCE = 4096


def values_of(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield the elements of ``column.to_pylist()`` one by one."""
    for start in range(0, len(column), _AT_ONCE):
        yield from column.slice(start, _AT_ONCE).to_pylist()
