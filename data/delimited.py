"""Text tables, which are read completely or refused with the number of the invalid row."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from data.errors import DataError
from data.names import one_spelling, visible

#: Characters that may separate cells, with their names.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Encoding in which Excel saves CSV files in Western Europe and America.
_WINDOWS = "cp1252"
_SAVE_AGAIN = "save it as CSV in UTF-8"
#: First line that declares the separator to Excel.
_HINT = re.compile(r"sep=.?", re.IGNORECASE)
#: Characters that are valid in a text table although ``str.isprintable`` is False for them: ends of
#: cells and rows, the no-break space and the soft hyphen.
_ENDS_OF_CELLS = dict.fromkeys(map(ord, "\t\r\n\u00a0\u00ad"))
#: Maximum length in characters of a list of column names in a message.
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Row:
    """Requested cells of one row."""

    #: Line of the file on which the row starts; the header is usually on line 1.
    number: int
    #: Cells by requested column name, without surrounding spaces; an empty cell is an empty string.
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def decoded_leniently(content: bytes, name: str) -> tuple[str, str | None]:
    """Decode a file like `decoded`, falling back to Windows-1252 if the result is printable.

    Returns
    -------
    text : str
        Content of the file.
    note : str or None
        Sentence for the user if the file was read as Windows-1252, else None.

    Raises
    ------
    DataError
        As raised by `decoded`.
    """
    try:
        return decoded(content, name), None
    except DataError:
        try:
            text = content.decode(_WINDOWS)
        except UnicodeDecodeError:
            text = "\0"
        if not text.translate(_ENDS_OF_CELLS).isprintable():
            raise
    return text, (
        f"{name} is not UTF-8 text and was read as Windows-1252, the encoding of Excel in Western "
        "Europe; if letters look wrong, save the table as CSV in UTF-8."
    )


def decoded(content: bytes, name: str) -> str:
    """Decode a file as UTF-8, or as UTF-16 if it starts with a byte order mark.

    Parameters
    ----------
    content
        Content of the file.
    name
        Name of the file in messages.

    Raises
    ------
    DataError
        If the file has another encoding or contains a NUL; the message gives the line.
    """
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line} is not UTF-8 text; {_SAVE_AGAIN}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{name}, line {line} contains a NUL byte: the file is damaged or is UTF-16 text; "
            f"{_SAVE_AGAIN}"
        )
    return text


def read_rows(
    content: bytes, name: str, columns: Collection[str], delimiter: str = ","
) -> list[Row]:
    """Return the rows of a table whose first row names its columns; empty rows are skipped.

    Column names are matched regardless of case and surrounding spaces.

    Parameters
    ----------
    content
        Content of the file.
    name
        Name of the file in messages.
    columns
        Names of the required columns.
    delimiter
        Character between cells.

    Raises
    ------
    DataError
        If the end of a row cannot be determined, a row has more cells than the header, the file is
        not text, or it lacks one of ``columns`` or has it more than once.
    """
    text = decoded(content, name)
    header, records = header_and_records(text, name, delimiter)
    places = _places(header, columns, text, name, delimiter)
    rows = []
    for number, cells in records:
        found = (cells[place] for place in places)
        rows.append(Row(number, dict(zip(columns, found, strict=True))))
    return rows


def header_and_records(
    text: str, name: str, delimiter: str
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header and an iterator over line number and cells of each nonempty row below it.

    Cells have no surrounding spaces. Each row has as many cells as the header: missing cells at its
    end are empty strings.

    Raises
    ------
    DataError
        If the end of a row cannot be determined or a row has more cells than the header. For rows
        below the header, the error is raised while iterating.
    """
    records = _records(text, name, delimiter)
    _, header = next(records, (1, []))
    return header, _of_width(records, len(header), name, delimiter)


def _of_width(
    records: Iterator[tuple[int, list[str]]], width: int, name: str, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    for number, cells in records:
        if any(map(str.strip, cells[width:])):
            raise DataError(
                f"{name}, row {number} has {len(cells)} cells and the header {width}: "
                f"put a cell that holds '{visible(delimiter)}' in quotation marks"
            )
        found = [*map(str.strip, cells[:width])]
        yield number, found + [""] * (width - len(found))


def has_columns(start: bytes, columns: Collection[str]) -> bool:
    """Return whether a file that begins with ``start`` has ``columns``, with any separator."""
    text = start.decode("utf-16" if start.startswith(_UTF_16) else "utf-8-sig", "replace")
    return any(_has(text, columns, delimiter) for delimiter in SEPARATORS)


def _has(text: str, columns: Collection[str], delimiter: str) -> bool:
    lines = (line for line in text.splitlines() if line.strip() and not _HINT.fullmatch(line))
    first = next(lines, "")
    try:
        cells = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return False
    return {*map(column_key, columns)} <= {*map(column_key, cells)}


def column_key(name: str) -> str:
    """Return a key for comparing column names: normalized and case-folded."""
    return one_spelling(name).casefold()


def listed(header: Collection[str]) -> str:
    """Return the column names as text for a message, truncated if they are long."""
    names = visible(", ".join(cell.strip() for cell in header)) or "none"
    return names if len(names) <= _LONGEST else f"{names[: _LONGEST - 1]}…"


def _records(text: str, name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each nonempty row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}, row {number}: {_reason(error)}") from None
        if reader.line_num > number and _holds_rows(cells, width, delimiter):
            raise DataError(
                f"{name}, row {number}: a quotation mark opens a cell that ends in line "
                f"{reader.line_num} and includes the rows between; remove it or close the cell"
            )
        if any(map(str.strip, cells)) and not (number == 1 and _is_hint(cells, delimiter)):
            width = width or len(cells)
            yield number, cells


def _is_hint(cells: list[str], delimiter: str) -> bool:
    """Return whether a row is the line that declares the separator to Excel."""
    return _HINT.fullmatch(delimiter.join(cells)) is not None


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "end of data" in text:
        return "a quotation mark opens a cell that is never closed; remove it or close the cell"
    if "field limit" in text:
        return (
            f"a cell has more than {csv.field_size_limit():,} characters: the file is damaged, or "
            "a quotation mark opens the cell and is never closed"
        )
    return f"a quotation mark within a quoted cell is not written twice ({text})"


def _holds_rows(cells: list[str], width: int, delimiter: str) -> bool:
    """Return whether a line within a multi-line cell has as many cells as the table."""
    return width > 1 and any(
        line.count(delimiter) >= width - 1
        for cell in cells
        if "\n" in cell or "\r" in cell
        for line in cell.splitlines()
    )


def _places(
    header: list[str], columns: Collection[str], text: str, name: str, delimiter: str
) -> list[int]:
    """Return the index of each of ``columns`` in the header."""
    found = [*map(column_key, header)]
    places = []
    for column in columns:
        count = found.count(column_key(column))
        if count > 1:
            raise DataError(f"{name} has {count} columns '{column}'; keep the right one")
        if not count:
            raise DataError(_missing(header, columns, text, name, delimiter))
        places.append(found.index(column_key(column)))
    return places


def _missing(
    header: list[str], columns: Collection[str], text: str, name: str, delimiter: str
) -> str:
    for other, word in SEPARATORS.items():
        if other != delimiter and _has(text, columns, other):
            return (
                f"{name}: its cells are separated by {word} instead of {SEPARATORS[delimiter]}; "
                f"save it again with {SEPARATORS[delimiter]}"
            )
    return f"{name} must have the columns {', '.join(columns)}; it has {listed(header)}"
