"""Images that an earlier ingest of the same folder has decoded, finished or not.

A Parquet file stands under its name only when it is complete, and its metadata say how its images
were made. So whatever is there can be used: after an interruption, and when images have come or
gone.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from data.storage import locate

#: Key of the metadata of a file, with a digest of how its images were made.
RECIPE = b"sparkdl.recipe"
#: Columns of an image that are taken over, beside what names say of it.
_KEPT = ("pixels", "source_xxh128", "remarks", "bits")
#: Row groups that are kept open: rows of a patient stand together in an old file and in a new one.
_OPEN_GROUPS = 4
#: Columns that say where an image stands already; null for one that is nowhere.
PLACE_SCHEMA = pa.schema([("old_file", pa.string()), ("old_row", pa.int64())])


def with_places(rows: pa.Table, output: str, recipe: str) -> pa.Table:
    """Return ``rows`` with the columns of ``PLACE_SCHEMA``.

    Parameters
    ----------
    rows
        With ``path`` and ``source_bytes``, the size of the file now, which may be null.
    output
        Folder or URI of the data set.
    recipe
        How images are made now; others are left where they are.
    """
    known = _known(output, recipe)
    found = pc.index_in(image_keys(rows), value_set=image_keys(known))
    for field in PLACE_SCHEMA:
        rows = rows.append_column(field, known.column(field.name).take(found))
    return rows


class Places:
    """Reads single rows of old files; a few row groups stay open."""

    def __init__(self, output: str) -> None:
        self._filesystem, self._root = locate(output)
        self._files: dict[str, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    def kept(self, file: str, row: int) -> dict[str, Any]:
        """Return what decoding has given of a row: ``_KEPT``."""
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
    """Return ``path``, ``source_bytes`` and place of every image that can be used."""
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
    """Yield name and content of each whole file that was made by ``recipe``."""
    infos = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    for info in sorted(infos, key=lambda info: info.path):
        if info.type != fs.FileType.File or not info.path.endswith(".parquet"):
            continue
        with filesystem.open_input_file(info.path) as stream:
            try:
                parquet = pq.ParquetFile(stream)
            except pa.ArrowInvalid:  # damaged by others
                continue
            if (parquet.schema_arrow.metadata or {}).get(RECIPE) == recipe.encode():
                yield info.base_name, parquet


def image_keys(table: pa.Table) -> pa.Array:
    """Return what an unchanged file keeps, its path and its bytes, of each row as one string."""
    size = pc.fill_null(pc.cast(table.column("source_bytes"), pa.string()), "")
    keys = pc.binary_join_element_wise(size, table.column("path"), "\0")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
