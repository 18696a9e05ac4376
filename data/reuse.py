"""Reuse of images decoded by an earlier ingest into the same folder, finished or not.

A Parquet file gets its name only when it is complete, and its metadata record how its images were
made. Existing files can therefore be reused after an interruption, and after images were added or
removed.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from data.storage import locate

#: Metadata key of a file for the recipe of its images, see `data.chunks.recipe`.
RECIPE = b"sparkdl.recipe"
#: Columns that are copied from an old file; the others follow from these and from the index.
_KEPT = ("pixels", "source_xxh128", "remarks", "bits")
#: Number of row groups kept in memory: rows of a patient are adjacent in old and new files.
_OPEN_GROUPS = 4
#: Columns with the location of an image in an old file; null if it is in none.
PLACE_SCHEMA = pa.schema([("old_file", pa.string()), ("old_row", pa.int64())])


def with_places(rows: pa.Table, output: str, recipe: str) -> pa.Table:
    """Return ``rows`` with the columns of ``PLACE_SCHEMA``.

    Parameters
    ----------
    rows
        Table with ``path`` and ``source_bytes``, the current size of the file, which may be null.
    output
        Folder or URI of the data set.
    recipe
        Current recipe, see `data.chunks.recipe`; images made with another one are not reused.
    """
    known = _known(output, recipe)
    found = pc.index_in(image_keys(rows), value_set=image_keys(known))
    for field in PLACE_SCHEMA:
        rows = rows.append_column(field, known.column(field.name).take(found))
    return rows


class Places:
    """Reader for single rows of old files, which caches a few row groups."""

    def __init__(self, output: str) -> None:
        self._filesystem, self._root = locate(output)
        self._files: dict[str, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    def kept(self, file: str, row: int) -> dict[str, Any]:
        """Return the columns ``_KEPT`` of one row."""
        parquet = self._files.get(file)
        if parquet is None:
            stream = self._filesystem.open_input_file(f"{self._root}/{file}")
            parquet = self._files[file] = pq.ParquetFile(stream)
        group, start = 0, 0
        while row >= start + parquet.metadata.row_group(group).num_rows:
            start += parquet.metadata.row_group(group).num_rows
            group += 1
        table = self._group(file, group, parquet)
        return {name: table.column(name)[row - start].as_py() for name in _KEPT}

    def _group(self, file: str, group: int, parquet: pq.ParquetFile) -> pa.Table:
        key = (file, group)
        if key not in self._groups:
            self._groups[key] = parquet.read_row_group(group, [*_KEPT])
            if len(self._groups) > _OPEN_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def _known(output: str, recipe: str) -> pa.Table:
    """Return ``path``, ``source_bytes`` and location of every image that can be reused."""
    filesystem, root = locate(output)
    schema = pa.schema([("path", pa.string()), ("source_bytes", pa.int64()), *PLACE_SCHEMA])
    tables = [schema.empty_table()]
    for name, parquet in _files(filesystem, root, recipe):
        table = parquet.read(["path", "source_bytes"])
        columns = [
            *(table.column(field).combine_chunks() for field in ("path", "source_bytes")),
            pa.array([name] * table.num_rows, pa.string()),
            pa.array(range(table.num_rows), pa.int64()),
        ]
        tables.append(pa.table(columns, schema))
    return pa.concat_tables(tables)


def _files(
    filesystem: fs.FileSystem, root: str, recipe: str
) -> Iterator[tuple[str, pq.ParquetFile]]:
    """Yield name and content of each complete file that was made with ``recipe``."""
    infos = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    for info in sorted(infos, key=lambda info: info.path):
        if info.type != fs.FileType.File or not info.path.endswith(".parquet"):
            continue
        with filesystem.open_input_file(info.path) as stream:
            try:
                parquet = pq.ParquetFile(stream)
            except pa.ArrowInvalid:  # damaged by other programs
                continue
            if (parquet.schema_arrow.metadata or {}).get(RECIPE) == recipe.encode():
                yield info.base_name, parquet


def image_keys(table: pa.Table) -> pa.Array:
    """Return a string with path and file size for each row, which identifies unchanged files."""
    size = pc.fill_null(pc.cast(table.column("source_bytes"), pa.string()), "")
    keys = pc.binary_join_element_wise(size, table.column("path"), "\0")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
