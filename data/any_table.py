"""Tables of text as people have them: the encoding and the separator are recognised."""

import codecs
import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.delimited import SEPARATORS, column_key, decoded_leniently, header_and_records, listed
from data.errors import DataError

#: Endings of files that may hold a table of text.
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
#: Endings of workbooks, and the first bytes of the two kinds that Excel has written.
WORKBOOK_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: Lines that decide on the separator.
_LINES = 50
#: The line in which Excel is told what separates the cells.
_HINT = re.compile(r"sep=(.)", re.IGNORECASE)


class NoColumnError(DataError):
    """A table without the column that the user has named."""


@dataclass(frozen=True)
class Table:
    """A table whose first row names its columns; its rows are read as often as they are needed."""

    #: Name of the table in messages.
    name: str
    #: Names of the columns as they are written, without spaces around.
    header: tuple[str, ...]
    #: One of `data.delimited.SEPARATORS`.
    separator: str
    text: str
    #: Facts that a reader should know of how the file was read, one sentence each.
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and the cells of each row below the header that is not empty.

        Each row has as many cells as the header; empty ones are empty strings.

        Raises
        ------
        DataError
            When a row cannot be told from the next one or has more cells than the header.
        """
        return header_and_records(self.text, self.name, self.separator)[1]

    def place(self, column: str, option: str) -> int:
        """Return where the column of a name stands, whatever its capitals.

        Raises
        ------
        NoColumnError
            When the table lacks it; ``option`` is what names another.
        DataError
            When the table has it twice.
        """
        keys = [*map(column_key, self.header)]
        count = keys.count(column_key(column))
        if count > 1:
            raise DataError(f"{self.name} has {count} columns '{column}'; keep the right one")
        if not count:
            raise NoColumnError(
                f"{self.name} has no column '{column}'; it has {listed(self.header)}: name one of "
                f"them with {option}"
            )
        return keys.index(column_key(column))


def read_table(content: bytes, name: str) -> Table:
    """Return the table that a file holds.

    Parameters
    ----------
    content
        The file: UTF-8, UTF-16 with a byte order mark, or printable Windows-1252.
    name
        Name of the file in messages.

    Raises
    ------
    DataError
        When it is a workbook, no text or has no row, or when its first row cannot be read.
    """
    if content.startswith(_WORKBOOKS):
        raise DataError(workbook(name))
    text, note = decoded_leniently(content, name)
    separator = separator_of(text)
    header, _ = header_and_records(text, name, separator)
    if not header:
        raise DataError(
            f"{name} is a file without a table: a first row must name its columns, and it has none"
        )
    names = tuple(cell.strip() for cell in header)
    return Table(name, names, separator, text, (note,) if note else ())


def header_of(start: bytes) -> list[str]:
    """Return the cells of the first row of a file that begins with ``start``; none for no table."""
    is_utf_16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = start.decode("utf-16" if is_utf_16 else "utf-8-sig", "replace")
    try:
        return header_and_records(text, "", separator_of(text))[0]
    except DataError:
        return []


def workbook(name: str) -> str:
    """Return what to do with a workbook of Excel or LibreOffice."""
    return f"{name} is a workbook and no table of text: save its sheet as 'CSV UTF-8' and name that"


def separator_of(text: str) -> str:
    """Return the character that separates the cells of a table of text.

    The line ``sep=;`` of Excel decides. Otherwise it is the one of `data.delimited.SEPARATORS` that
    gives most rows as many cells as the first row and, of several, the one that gives most cells.
    A table of one column has commas.
    """
    lines = [line for line in itertools.islice(_lines(text), _LINES) if line.strip()]
    hint = _HINT.fullmatch(lines[0].strip("\r\n")) if lines else None
    if hint and hint[1] in SEPARATORS:
        return hint[1]
    return max(SEPARATORS, key=lambda separator: _fitness(lines, separator))


def _lines(text: str) -> Iterator[str]:
    """Yield the first lines without splitting a whole table."""
    return iter(text[: _LINES * 4096].splitlines(keepends=True))


def _fitness(lines: list[str], separator: str) -> tuple[float, int]:
    """Return the share of rows as wide as the first one, and its number of cells."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))]
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, 0
    return sum(len(row) == width for row in rows) / len(rows), width
