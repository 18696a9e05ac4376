"""A table of images, labels and groups, for images that are not in a known folder layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from data.config import DataConfig, LayoutName
from data.delimited import SEPARATORS
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder
from data.layouts.dicom import read_patients
from data.layouts.label_tables import LabelTable, named_tables, tables_beside
from data.layouts.listing import Listing
from data.layouts.paths import without_suffix
from data.layouts.table_columns import OPTIONS, label_of
from data.names import one_spelling, visible

#: Row numbers that a note lists.
_ROWS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Row:
    """Image, label, group and part of one row of a table."""

    table: str
    number: int
    name: str
    label: str
    #: Empty if the table has no column of groups or the cell is empty.
    group: str
    fold: str
    #: True if image, label and, where the table has such a column, group are filled.
    complete: bool


class CsvTable:
    """The layout ``csv``."""

    name: LayoutName = "csv"
    expects = (
        "a table (CSV, TSV) with columns such as path,label,patient, or a folder that holds one "
        "with the images"
    )

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether a table was given or one next to the images lists them."""
        if listing.table is not None or config.labels is not None:
            return True
        return bool(tables_beside(listing, config))

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use every row whose image exists; paths are relative to the source or the table's folder.

        An image below the folder that no row lists is a reject, as is a row without an image. A
        row that repeats an image is a reject under its row number.
        """
        tables = named_tables(listing, config) or tables_beside(listing, config)
        _refuse_mixed_units(tables)
        builder, taken = IndexBuilder(), set[str]()
        notes: list[str] = []
        placed = [row for table in tables for row in _placed(table, notes)]
        _refuse_contradictions(listing.uri, placed)
        has_group = tables[0].columns.group is not None
        unit = tables[0].columns.unit
        patients = read_patients(listing, [p for p, *_ in placed if p] if not has_group else [])
        if patients.names:
            unit = patients.unit
        notes += patients.notes
        incomplete: list[tuple[str | None, _Row]] = []
        for path, row, reason in placed:
            place = f"{row.table}, row {row.number}"
            if not row.complete:
                incomplete.append((path, row))
            elif path is None:
                builder.reject(reason[0] or place, reason[1])
            elif path in taken:
                builder.reject(place, "names an image a second time")
            elif path in patients.problems:
                builder.reject(path, patients.problems[path])
                taken.add(path)
            else:
                taken.add(path)
                image_id = without_suffix(path)
                builder.add(
                    path,
                    image_id=image_id,
                    class_name=row.label,
                    patient_id=row.group if has_group else patients.names.get(path, image_id),
                    fold=row.fold,
                )
        missing_part = "label or group" if has_group else "label"
        for path, row in incomplete:
            known = path is not None and path not in taken
            builder.reject(
                str(path) if known else f"{row.table}, row {row.number}",
                f"has a row in {row.table} without {missing_part}" if known else "is incomplete",
            )
            taken.add(str(path))
        names = " or ".join(table.name for table in tables)
        for path in sorted({*listing.images} - taken):
            builder.reject(path, f"has no row in {names}")
        index = builder.finish(
            self.name, listing, notes, unit=unit, tables=[table.name for table in tables]
        )
        return replace(index, reading=_reading(tables, index))


_Placed = tuple[str | None, _Row, tuple[str, str]]


def _placed(table: LabelTable, notes: list[str]) -> list[_Placed]:
    """Return path, row and, for rows without a path, subject and reason; add to ``notes``."""
    rows = _rows(table)
    path_of = table.files.find(row.name for row in rows)
    found: list[_Placed] = []
    missing: list[int] = []
    ambiguous: list[int] = []
    for row in rows:
        path = path_of.get(row.name)
        several = table.files.ambiguous.get(row.name)
        reason = (table.files.relative(row.name), f"is listed in {table.name} and was not found")
        if several is not None:
            reason = (f"{table.name}, row {row.number}", _several(row.name, several))
        if path is None and row.complete:
            (missing if several is None else ambiguous).append(row.number)
        found.append((path, row, reason))
    notes += [*table.table.notes, *table.columns.notes]
    notes += _notes(f"Rows of {table.name} whose file was not found", missing)
    notes += _notes(
        f"Rows of {table.name} that match several files and need the folder in the name",
        ambiguous,
    )
    if table.files.moved:
        name, path = min(table.files.moved.items())
        notes.append(
            f"Rows of {table.name} whose file was found in another folder by its name: "
            f"{len(table.files.moved):,} (for example {visible(name)!r} is {path!r})."
        )
    return found


def _rows(table: LabelTable) -> list[_Row]:
    columns, label = table.columns, label_of(table.table, table.columns)
    rows = []
    for number, cells in table.table.rows():
        name, class_name = cells[columns.path], label(cells)
        group = "" if columns.group is None else cells[columns.group]
        fold = table.part if columns.part is None else cells[columns.part]
        complete = bool(name and class_name and (group or columns.group is None))
        rows.append(_Row(table.name, number, name, class_name, group, fold, complete))
    return rows


def _several(name: str, paths: Sequence[str]) -> str:
    return (
        f"names {visible(name)}, which may be {len(paths)} files ({paths[0]} and {paths[1]}): "
        "write the folder too"
    )


def _notes(what: str, numbers: Sequence[int]) -> list[str]:
    if not numbers:
        return []
    shown = ", ".join(map(str, numbers[:_ROWS_SHOWN]))
    more = f" and {len(numbers) - _ROWS_SHOWN:,} more" if len(numbers) > _ROWS_SHOWN else ""
    word = "row" if len(numbers) == 1 else "rows"
    return [f"{what}: {len(numbers):,} ({word} {shown}{more})."]


def _refuse_mixed_units(tables: Sequence[LabelTable]) -> None:
    units = {table.columns.unit: table.name for table in tables}
    if len(units) > 1:
        (unit, name), (other, second) = [*units.items()][:2]
        raise DataError(
            f"{name} groups images by {unit} and {second} by {other}: name the columns with "
            "--group-column, or one of the tables with --labels"
        )


def _refuse_contradictions(uri: str, placed: Sequence[_Placed]) -> None:
    """Raise DataError for an image with two labels or patients; only the user can resolve it."""
    known: dict[str, tuple[tuple[str, ...], _Row]] = {}
    for path, row, _ in placed:
        if path is None or not row.complete:
            continue  # a reject
        names = (one_spelling(row.label), *([one_spelling(row.group)] if row.group else []))
        first, before = known.setdefault(path, (names, row))
        if names != first:
            is_elsewhere = row.table.startswith("/") or "://" in row.table
            place = row.table if is_elsewhere else f"{uri}/{row.table}"
            numbers = f"{before.number} and {row.number}"
            if before.table != row.table:
                numbers = f"row {before.number} of {before.table} and row {row.number}"
            raise DataError(
                f"{place} has two different rows for {path}, {numbers}: "
                f"{'label and group' if row.group else 'label'} {' and '.join(first)}, then "
                f"{' and '.join(names)}; keep the right one"
            )


def _reading(tables: Sequence[LabelTable], index: Index) -> tuple[str, ...]:
    """Return how the tables were interpreted, and the options that change it."""
    columns, header = tables[0].columns, [visible(name) for name in tables[0].table.header]
    names = " and ".join(table.name for table in tables)
    separator = SEPARATORS[tables[0].table.separator]
    label = ", ".join(f"'{header[place]}'" for place in columns.label[:3])
    if len(columns.label) > 1:
        more = ", …" if len(columns.label) > 3 else ""
        label = f"the 1 in {len(columns.label)} columns ({label}{more})"
    number = {
        name: pc.count_distinct(index.table.column(name)).as_py()
        for name in ("class_name", "patient_id")
    }
    group = ", group PatientID of DICOM" if index.unit != "image" else ""
    if columns.group is not None:
        group = f", group '{header[columns.group]}'"
    groups = "" if index.unit == "image" else f"{number['patient_id']:,} {index.unit}s, "
    lines = [
        f"read as table{'s' if len(tables) > 1 else ''} {names} ({separator}): "
        f"path '{header[columns.path]}', label {label}{group}; {number['class_name']} classes, "
        f"{groups}{index.table.num_rows:,} images"
    ]
    if index.unit == "image":
        lines.append(
            "no column names the patient: each image is its own group, and images of one patient "
            "may be on both sides of the split; specify the column with --group-column"
        )
    lines.append(f"other columns: {OPTIONS.replace(' and ', ', ')}")
    return tuple(lines)
