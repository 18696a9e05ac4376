"""Text tables from various programs: the encoding and the separator are detected."""

import codecs
import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.delimited import SEPARATORS, column_key, decoded_leniently, header_and_records, listed
from data.errors import DataError
from data.formats import is_image

#: File extensions that may denote a text table.
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
#: File extensions of workbooks, and the first bytes of the two formats that Excel writes.
WORKBOOK_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: Number of lines from which the separator is detected.
_LINES = 50
#: First line that declares the separator to Excel.
_HINT = re.compile(r"sep=(.)", re.IGNORECASE)
#: Line of an image list of Caffe.
_LISTED = re.compile(r"[ \t]*([^\t\"]+?)[ \t]+([0-9]+)[ \t]*")


class NoColumnError(DataError):
    """Error for a table that lacks a column named by the user."""


@dataclass(frozen=True)
class Table:
    """Text table whose first row names its columns; rows are parsed on each call of `rows`."""

    #: Name of the table in messages.
    name: str
    #: Column names as written in the file, without surrounding spaces.
    header: tuple[str, ...]
    #: One of `data.delimited.SEPARATORS`.
    separator: str
    text: str
    #: Notes for the user on how the file was read, one sentence each.
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and cells of each row below the header, skipping empty rows.

        Each row has as many cells as the header; empty cells are empty strings.

        Raises
        ------
        DataError
            If the end of a row cannot be determined or a row has more cells than the header.
        """
        return header_and_records(self.text, self.name, self.separator)[1]

    def place(self, column: str, option: str) -> int:
        """Return the index of a column by its name, ignoring case.

        Parameters
        ----------
        column
            Name of the column.
        option
            Command-line option that selects another column, for the error message.

        Raises
        ------
        NoColumnError
            If the table has no such column.
        DataError
            If the table has the column more than once.
        """
        keys = [*map(column_key, self.header)]
        count = keys.count(column_key(column))
        if count > 1:
            raise DataError(f"{self.name} has {count} columns '{column}'; keep the right one")
        if not count:
            raise NoColumnError(
                f"{self.name} has no column '{column}'; it has {listed(self.header)}: select one "
                f"of them with {option}"
            )
        return keys.index(column_key(column))


def read_table(content: bytes, name: str) -> Table:
    """Parse a text table.

    Parameters
    ----------
    content
        Content of the file: UTF-8, UTF-16 with a byte order mark, or printable Windows-1252. The
        image lists of Caffe, which have no column names, are read with the columns ``path`` and
        ``label``.
    name
        Name of the file in messages.

    Raises
    ------
    DataError
        If the file is a workbook, is not text or has no rows, or if its first row cannot be read.
    """
    if content.startswith(_WORKBOOKS):
        raise DataError(workbook(name))
    text, note = decoded_leniently(content, name)
    text = image_list_as_table(text) or text
    separator = separator_of(text)
    header, _ = header_and_records(text, name, separator)
    if not header:
        raise DataError(
            f"{name} contains no table: its first row must name the columns, and it has no rows"
        )
    names = tuple(cell.strip() for cell in header)
    return Table(name, names, separator, text, (note,) if note else ())


def header_of(start: bytes) -> list[str]:
    """Return the cells of the first row of a file that begins with ``start``.

    The list is empty if the file is not a table.
    """
    is_utf_16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = start.decode("utf-16" if is_utf_16 else "utf-8-sig", "replace")
    whole_lines = text.rpartition("\n")[0] or text
    text = image_list_as_table(whole_lines) or text
    try:
        return header_and_records(text, "", separator_of(text))[0]
    except DataError:
        return []


def image_list_as_table(text: str) -> str | None:
    """Return an image list of Caffe as a table with column names; None for any other text."""
    found = image_list(text)
    if not found:
        return None
    return "".join(["path\tlabel\n", *(f"{path}\t{label}\n" for path, label in found)])


def image_list(text: str) -> list[tuple[str, int]] | None:
    """Return path and class of each line of an image list of Caffe; None for any other text.

    Each line of a list is the path of an image, which may contain spaces, a space and the number of
    the class.
    """
    found = []
    for line in filter(str.strip, text.splitlines()):
        match = _LISTED.fullmatch(line)
        if match is None or not is_image(match[1]):
            return None
        found.append((match[1], int(match[2])))
    return found


def workbook(name: str) -> str:
    """Return the error message for a workbook of Excel or LibreOffice."""
    return f"{name} is a workbook, not a text table: save its sheet as 'CSV UTF-8' and use that"


def separator_of(text: str) -> str:
    """Detect the character that separates the cells of a text table.

    Excel's line ``sep=;`` takes precedence. Otherwise the result is the candidate of
    `data.delimited.SEPARATORS` for which most rows have as many cells as the first row, and in a
    tie the one that gives more cells. A table with a single column is read with commas.
    """
    lines = [line for line in itertools.islice(_lines(text), _LINES) if line.strip()]
    hint = _HINT.fullmatch(lines[0].strip("\r\n")) if lines else None
    if hint and hint[1] in SEPARATORS:
        return hint[1]
    return max(SEPARATORS, key=lambda separator: _fitness(lines, separator))


def _lines(text: str) -> Iterator[str]:
    """Return an iterator over the first lines without splitting the whole table."""
    return iter(text[: _LINES * 4096].splitlines(keepends=True))


def _fitness(lines: list[str], separator: str) -> tuple[float, int]:
    """Return the fraction of rows as wide as the first one, and the width of the first one."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))]
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, 0
    return sum(len(row) == width for row in rows) / len(rows), width
