"""A CSV file ``path,label,group``, for images that lie in no layout known here."""

from collections.abc import Sequence

from data.config import DataConfig, LayoutName
from data.delimited import Row, has_columns
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder, Listing, without_suffix
from data.layouts.table_files import TableFiles
from data.names import one_spelling

COLUMNS = ("path", "label", "group")
#: Bytes of a table in which its header is looked for.
_HEADER_BYTES = 4096
#: Numbers of rows in a note.
_ROWS_SHOWN = 5


class CsvTable:
    """The layout ``csv``."""

    name: LayoutName = "csv"
    expects = "a CSV file with the columns path,label,group, or a folder that holds one"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Tell whether a CSV file was named or one at the top has the columns."""
        return listing.table is not None or bool(_fitting(listing))

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Take every row whose image exists; paths start at the CSV file's folder.

        An image below the folder that no row names is a reject, as is a row without an image. A
        row that says nothing new of an image is a reject under its number.
        """
        tables = _fitting(listing) if listing.table is None else [listing.table]
        if len(tables) != 1:
            found = ", ".join(tables) or "none"
            raise DataError(
                f"{listing.uri} must hold one CSV file with the columns {','.join(COLUMNS)}; "
                f"found {found}"
            )
        table = tables[0]
        rows = listing.read_rows(table, COLUMNS)
        files = TableFiles(listing)
        path_of = files.find(row["path"] for row in rows)
        placed = [(path_of.get(row["path"]), row) for row in rows]
        _refuse_contradictions(f"{listing.uri}/{table}", placed)
        builder, taken = IndexBuilder(), set[str]()
        missing, incomplete = [], []
        for path, row in placed:
            if not all(row.cells.values()):
                incomplete.append((path, row.number))
            elif path is None:
                builder.reject(
                    files.relative(row["path"]), f"is listed in {table} and was not found"
                )
                missing.append(row.number)
            elif path in taken:
                builder.reject(f"{table}, row {row.number}", "names an image a second time")
            else:
                taken.add(path)
                builder.add(
                    path,
                    image_id=without_suffix(path),
                    class_name=row["label"],
                    patient_id=row["group"],
                )
        for path, number in incomplete:
            known = path is not None and path not in taken
            builder.reject(
                str(path) if known else f"{table}, row {number}",
                f"has a row in {table} without label or group" if known else "is incomplete",
            )
            taken.add(str(path))
        for path in sorted({*listing.images} - taken):
            builder.reject(path, f"has no row in {table}")
        return builder.finish(self.name, listing, _notes(table, missing))


def _notes(table: str, missing: Sequence[int]) -> list[str]:
    if not missing:
        return []
    shown = ", ".join(map(str, missing[:_ROWS_SHOWN]))
    more = f" and {len(missing) - _ROWS_SHOWN:,} more" if len(missing) > _ROWS_SHOWN else ""
    word = "row" if len(missing) == 1 else "rows"
    return [f"Rows of {table} whose file is not there: {len(missing):,} ({word} {shown}{more})."]


def _refuse_contradictions(table: str, placed: Sequence[tuple[str | None, Row]]) -> None:
    """Raise DataError for an image with two labels or patients: no program knows the true one."""
    said: dict[str, tuple[str, str, int]] = {}
    for path, row in placed:
        if not (path and all(row.cells.values())):
            continue  # a reject
        found = one_spelling(row["label"]), one_spelling(row["group"])
        *first, number = said.setdefault(path, (*found, row.number))
        if [*found] != first:
            raise DataError(
                f"{table} has two different rows for {path}, {number} and {row.number}: label and "
                f"group {' and '.join(first)}, then {' and '.join(found)}; keep the right one"
            )


def _fitting(listing: Listing) -> list[str]:
    """CSV files at the top of the folder whose first line names the three columns."""
    found = []
    for path in listing.tables():
        if "/" in path:
            continue
        with listing.filesystem.open_input_stream(f"{listing.root}/{path}") as stream:
            if has_columns(stream.read(_HEADER_BYTES), COLUMNS):
                found.append(path)
    return found
