"""Tables with the labels of a source: given by the user, or found next to the images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.addresses import plain_address
from data.any_table import (
    TABLE_SUFFIXES,
    WORKBOOK_SUFFIXES,
    NoColumnError,
    Table,
    header_of,
    read_table,
    workbook,
)
from data.config import DataConfig
from data.errors import DataError
from data.formats import is_image
from data.layouts import column_names
from data.layouts.folders import locate_classes
from data.layouts.listing import Listing
from data.layouts.table_columns import Columns, UndecidedError, recognise_columns
from data.layouts.table_files import TableFiles
from data.object_store import is_object
from data.storage import locate, read_bytes

#: Columns that identify the table of a folder, whatever its content.
_OWN_COLUMNS = ("path", "label", "group")
#: Leading bytes of a file in which the header of a table is searched.
_START_BYTES = 65_536
#: A folder with more files of one suffix holds a file per image, not a table of all images.
_MOST_TABLES = 20
#: Share of the images, or of its own rows, that a table must match to be used without --labels.
_KNOWN_SHARE = 0.5
_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class LabelTable:
    """A table with its recognized columns."""

    #: Path of the table below the source, or its address.
    name: str
    table: Table
    columns: Columns
    files: TableFiles

    @property
    def has_own_columns(self) -> bool:
        """True if the columns include ``path``, ``label`` and ``group``."""
        return {*_OWN_COLUMNS} <= {*map(column_names.key, self.table.header)}

    @property
    def is_likely(self) -> bool:
        """True if a column is named as a label and most rows refer to an existing image.

        A table with the same label for all images is excluded: it is the template of a
        competition's submission.
        """
        columns = self.columns
        return not columns.guessed and columns.classes > 1 and columns.found >= _KNOWN_SHARE

    @property
    def part(self) -> str:
        """Publisher's part according to the file name, or an empty string.

        ``train_labels.csv`` is a table of the part ``train``.
        """
        name = self.name.rpartition("/")[2].rpartition(".")[0].casefold()
        parts = [word for word in _SEPARATORS.split(name) if column_names.is_part(word)]
        return parts[0] if len(parts) == 1 else ""


def named_tables(listing: Listing, config: DataConfig) -> list[LabelTable] | None:
    """Return the table that the user gave as source or as labels, None if there is none.

    Raises
    ------
    DataError
        If it cannot be read, or its columns cannot be identified.
    """
    if config.labels is not None:
        return [_table_of_labels(listing, config, config.labels)]
    if listing.table is not None:
        return [open_table(listing, listing.table, config)]
    return None


def tables_beside(listing: Listing, config: DataConfig) -> list[LabelTable]:
    """Return the tables in a folder that match its images; of several, those of the parts.

    Tables directly in the folder take precedence over those one level below.

    Raises
    ------
    DataError
        If several match, or if the one that matches cannot be read completely.
    """
    for level in (0, 1):
        opened = [_labels_at(listing, path, config) for path in _candidates(listing, level)]
        tables = [table for table in opened if table is not None]
        found = [table for table in tables if _know_images(listing, [table])]
        parts = [table for table in tables if table.part]
        if len(parts) > 1 and _know_images(listing, parts):
            found = [*parts, *(table for table in found if not table.part)]
        if not found:
            continue
        rivals = [table for table in tables if table in found or table.is_likely]
        if len(rivals) > 1 and not all(table.part for table in rivals):
            names = ", ".join(table.name for table in rivals)
            raise DataError(
                f"{listing.uri} holds several tables with labels ({names}): name one with --labels"
            )
        return found
    return []


def undecided(listing: Listing, config: DataConfig) -> str | None:
    """Return why the one table that lists the images is not used, None if there is none."""
    reasons = []
    for level in (0, 1):
        for path in _candidates(listing, level):
            try:
                open_table(listing, path, config)
            except UndecidedError as error:
                if error.path_known:
                    reasons.append(str(error))
            except (DataError, OSError):
                continue
    return reasons[0] if len(reasons) == 1 else None


def unused_table(listing: Listing, config: DataConfig) -> str | None:
    """Return the first table that lists the images of a source read by its folders instead."""
    for level in (0, 1):
        for path in _candidates(listing, level):
            try:
                found = open_table(listing, path, config).columns.found
            except UndecidedError as error:
                found = float(error.path_known)
            except (DataError, OSError):
                continue
            if found >= _KNOWN_SHARE:
                return path
    return None


def workbooks(listing: Listing) -> list[str]:
    """Return the workbooks directly in the folder."""
    return [
        path
        for path in listing.files
        if "/" not in path and path.lower().endswith(WORKBOOK_SUFFIXES)
    ]


def _table_of_labels(listing: Listing, config: DataConfig, labels: str) -> LabelTable:
    if labels.lower().endswith(WORKBOOK_SUFFIXES):
        raise DataError(workbook(labels))
    filesystem, path = locate(labels)
    try:
        content = read_bytes(filesystem, path)
    except OSError as error:
        raise DataError(f"--labels {labels} cannot be read: {error.strerror or error}") from None
    address = plain_address(labels) if is_object(labels) else path
    name = address.removeprefix(f"{listing.uri}/")
    return _recognised(listing, read_table(content, address), name, config)


def _candidates(listing: Listing, level: int) -> list[str]:
    """Return the files that may be tables: in the folder (level 0) or one level below (1)."""
    found: dict[str, list[str]] = {}
    for path in listing.files:
        ending = path[path.rfind(".") :].lower()
        if ending in TABLE_SUFFIXES and path.count("/") == level:
            found.setdefault(ending, []).append(path)
    return sorted(p for paths in found.values() if len(paths) <= _MOST_TABLES for p in paths)


def open_table(
    listing: Listing, path: str, config: DataConfig, *, labeled: bool = True
) -> LabelTable:
    """Return the table at ``path`` below the folder; ``labeled=False`` needs no labels.

    Raises
    ------
    DataError
        If it cannot be read, or its columns cannot be identified.
    """
    content = read_bytes(listing.filesystem, f"{listing.root}/{path}")
    table = read_table(content, f"{listing.uri}/{path}")
    return _recognised(listing, table, path, config, labeled)


def _recognised(
    listing: Listing, table: Table, name: str, config: DataConfig, labeled: bool = True
) -> LabelTable:
    files = TableFiles(listing, name.rpartition("/")[0])
    for cell in table.header:
        if is_image(cell) and files.share([cell]):
            raise UndecidedError(
                f"{table.name}: the first row contains the image {cell} instead of column names; "
                "add a first row such as path,label,patient",
                path_known=True,
            )
    columns = recognise_columns(table, files, config, labeled=labeled)
    return LabelTable(name, table, columns, files)


def _labels_at(listing: Listing, path: str, config: DataConfig) -> LabelTable | None:
    """Return the table at ``path``, None if it is not a table of images and labels."""
    with listing.filesystem.open_input_stream(f"{listing.root}/{path}") as stream:
        start = stream.read(_START_BYTES)
    names = [*map(column_names.key, header_of(start))]
    if len(names) < 2:
        return None
    try:
        return open_table(listing, path, config)
    except (UndecidedError, NoColumnError):
        return None
    except DataError:
        if {*names}.isdisjoint(column_names.PATHS) or {*names}.isdisjoint(column_names.LABELS):
            return None
        raise  # a damaged table of labels must not lead to the choice of another layout


def _know_images(listing: Listing, tables: Sequence[LabelTable]) -> bool:
    """Return whether tables that were not given by an option describe their folder's images.

    If folders may be the classes, the tables must list most of the images and have a column that is
    named as a label.
    """
    if any("/" not in table.name and table.has_own_columns for table in tables):
        return True
    columns = [table.columns for table in tables]
    if all(c.classes < 2 for c in columns):
        return False
    found, rows = sum(c.found * c.rows for c in columns), sum(c.rows for c in columns)
    known = found >= _KNOWN_SHARE * len(listing.images)
    classes = {class_name for class_name, _ in locate_classes(listing.images)} - {""}
    if len(classes) > 1:
        return known and not any(c.guessed for c in columns)
    return known or found >= _KNOWN_SHARE * rows
