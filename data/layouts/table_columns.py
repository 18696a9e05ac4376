"""Recognition of the columns for images, labels and groups, by name and by content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from data.any_table import Table
from data.config import DataConfig, Unit
from data.delimited import listed
from data.errors import DataError
from data.layouts import column_names
from data.layouts.table_files import TableFiles
from data.names import visible

OPTIONS = "--path-column, --label-column and --group-column"
#: Most rows by which the column of the images is found.
_SAMPLE = 2000
#: A column with more distinct values is not a label, unless it is named as one.
_MOST_CLASSES = 30
#: Distinct values of a column that are counted.
_COUNTED = 100
#: A column named as a label with fewer rows per value does not contain classes.
_ROWS_OF_CLASS = 2
#: Columns of the documented format; in a table that has all of them, each is used for its name.
_OWN_FORMAT = ("path", "label", "group")
_ONES, _ZEROS = frozenset(("1", "1.0")), frozenset(("0", "0.0"))


class UndecidedError(DataError):
    """A table whose columns cannot be identified; the message lists them and the options."""

    def __init__(self, text: str, *, path_known: bool) -> None:
        super().__init__(text)
        #: True if the column of the images is known.
        self.path_known = path_known


@dataclass(frozen=True)
class Columns:
    """Positions of columns in the header of a table."""

    path: int
    #: The column of the label, or one column per class with a 1 in the rows of that class; empty
    #: if no label was searched for.
    label: tuple[int, ...]
    #: None if no column identifies a patient, a case or a lesion.
    group: int | None
    #: The column with names of parts such as ``train``, None if there is none.
    part: int | None
    unit: Unit
    #: True if the column of the label was recognized by its content alone.
    guessed: bool
    #: Number of distinct labels, at most a hundred.
    classes: int
    #: Number of rows.
    rows: int
    #: Share of the rows whose image exists, estimated on a sample.
    found: float
    notes: tuple[str, ...] = ()


@dataclass
class _Content:
    """Distinct values and filled cells of one column."""

    #: At most ``_COUNTED`` distinct values.
    values: set[str] = field(default_factory=set)
    filled: int = 0

    def add(self, cell: str) -> None:
        if cell:
            self.filled += 1
            if len(self.values) < _COUNTED:
                self.values.add(cell)

    @property
    def is_binary(self) -> bool:
        return bool(self.values) and self.values <= _ONES | _ZEROS


def recognise_columns(
    table: Table, files: TableFiles, config: DataConfig, *, labeled: bool = True
) -> Columns:
    """Return the columns given by ``config``, and the others as recognized by name and content.

    With ``labeled=False``, the table needs no column of labels.

    Raises
    ------
    UndecidedError
        If the column of the images or of the labels cannot be identified.
    DataError
        If the table lacks a column that was given, or cannot be read completely.
    """
    return _Recognition(table, files, config).columns(labeled)


class _Recognition:
    def __init__(self, table: Table, files: TableFiles, config: DataConfig) -> None:
        self._table = table
        self._files = files
        self._config = config
        self._keys = [*map(column_names.key, table.header)]
        self._content = [_Content() for _ in table.header]
        self._sample: list[list[str]] = []
        self._rows = 0
        self._read()

    def columns(self, labeled: bool) -> Columns:
        config = self._config
        path = self._named(config.path_column, "--path-column")
        label = self._named(config.label_column, "--label-column")
        group = self._named(config.group_column, "--group-column")
        self._refuse_one_for_two(path, label, group)
        if path is None:
            path = self._path(_without_none(label, group))
        notes: tuple[str, ...] = ()
        if group is None:
            group, notes = self._group(_without_none(path, label))
        part = self._part(_without_none(path, label, group))
        taken = _without_none(path, group, part)
        labels: tuple[int, ...] = () if label is None else (label,)
        guessed = False
        if labeled and label is None:
            labels, guessed = self._label(taken)
        self._refuse_doubles(*_without_none(path, group, *labels))
        unit: Unit = "image"
        if group is not None:
            unit = column_names.unit_of(self._table.header[group])
        classes = len(self._values(labels[0])) if len(labels) == 1 else len(labels)
        return Columns(
            path=path,
            label=labels,
            group=group,
            part=part,
            unit=unit,
            guessed=guessed,
            classes=classes,
            rows=self._rows,
            found=self._share(path),
            notes=notes,
        )

    def _read(self) -> None:
        """Count the values of each column; keep a sample of evenly spaced rows."""
        step = 1
        for number, (_, cells) in enumerate(self._table.rows()):
            self._rows += 1
            for content, cell in zip(self._content, cells, strict=True):
                content.add(cell)
            if number % step == 0:
                self._sample.append(cells)
            if len(self._sample) > _SAMPLE:
                self._sample, step = self._sample[::2], step * 2

    def _named(self, column: str | None, option: str) -> int | None:
        return None if column is None else self._table.place(column, option)

    def _refuse_one_for_two(self, *places: int | None) -> None:
        if len(_without_none(*places)) < sum(place is not None for place in places):
            raise DataError(
                f"{self._table.name}: two of {OPTIONS} name the same column; choose different ones"
            )

    def _path(self, taken: set[int]) -> int:
        shares = {place: self._share(place) for place in self._places(taken)}
        best = max(shares.values(), default=0.0)
        likely = [place for place, share in shares.items() if share and share > 0.9 * best]
        known = self._by_names(taken, column_names.PATHS)
        for place in (*known, *likely):
            if place in likely:
                return place
        if known:  # none of its images exists, which the rejects will report
            return known[0]
        raise self._undecided("holds the names of the images", "--path-column")

    def _refuse_doubles(self, *places: int) -> None:
        for place in places:
            if name := self._table.header[place]:
                self._table.place(name, OPTIONS)

    def _share(self, place: int) -> float:
        """Return the share of rows whose cell in a column names a distinct image."""
        return self._files.share(cells[place] for cells in self._sample)

    def _group(self, taken: set[int]) -> tuple[int | None, tuple[str, ...]]:
        """Return the position of the group, and a note on a column that was not used for it."""
        known = self._by_names(taken, column_names.GROUPS)
        if not known or {*_OWN_FORMAT} <= {*self._keys}:
            return (known[0] if known else None), ()
        for place in known:
            if self._is_filled(place) and not self._is_constant(place):
                return place, ()
        place = known[0]
        is_filled = self._is_filled(place)
        if is_filled and self._keys[place] in (*column_names.PATIENTS, *column_names.LESIONS):
            return place, ()
        what = "has fewer than three values" if is_filled else "is empty in most rows"
        return None, (
            f"The column '{visible(self._table.header[place])}' of {self._table.name} {what} and "
            "is not used as the group; --group-column selects it.",
        )

    def _part(self, taken: set[int]) -> int | None:
        for place in self._by_names(taken, column_names.PARTS):
            values = self._values(place)
            if values and all(map(column_names.is_part, values)):
                return place
        return None

    def _label(self, taken: set[int]) -> tuple[tuple[int, ...], bool]:
        """Return the positions of the label, and whether only their content identified them."""
        known = self._by_names(taken, column_names.LABELS)
        for place in known:
            if self._has_classes(place, _COUNTED - 1):
                return (self._in_words(place, known),), False
        if known and self._keys[known[0]] != "y":
            return (known[0],), False
        one_hot = self._one_hot(taken)
        if one_hot:
            return one_hot, False
        likely = [
            place
            for place in self._places(taken)
            if self._keys[place] not in (*column_names.OTHERS, *column_names.PARTS)
            and self._has_classes(place, _MOST_CLASSES)
        ]
        words = [place for place in likely if not all(map(_is_number, self._values(place)))]
        for candidates in (likely, words):
            if len(candidates) == 1:
                return (candidates[0],), True
        raise self._undecided("holds the labels", "--label-column")

    def _in_words(self, place: int, known: Sequence[int]) -> int:
        """Return the column that spells out the numbers in ``place`` as words, else ``place``."""
        numbers = self._values(place)
        if not all(map(_is_number, numbers)):
            return place
        for other in known:
            words = self._values(other)
            if len(words) != len(numbers) or any(map(_is_number, words)):
                continue
            pairs = {(cells[place], cells[other]) for _, cells in self._table.rows()}
            if len(pairs) == len(numbers):
                return other
        return place

    def _one_hot(self, taken: set[int]) -> tuple[int, ...]:
        """Return the columns of a one-hot encoding: exactly one is 1 in each row that is filled."""
        places = [place for place in self._places(taken) if self._content[place].is_binary]
        if len(places) < 2:
            return ()
        for _, cells in self._table.rows():
            found = [cells[place] for place in places]
            if any(found) and sum(cell in _ONES for cell in found) != 1:
                return ()
        return tuple(places)

    def _places(self, taken: set[int]) -> list[int]:
        return [place for place in range(len(self._keys)) if place not in taken]

    def _by_names(self, taken: set[int], names: Sequence[str]) -> list[int]:
        """Return the columns with these names, in the order of the names."""
        free = self._places(taken)
        return [place for name in names for place in free if self._keys[place] == name]

    def _values(self, place: int) -> set[str]:
        return self._content[place].values

    def _is_filled(self, place: int) -> bool:
        return self._content[place].filled * 2 >= self._rows

    def _is_constant(self, place: int) -> bool:
        return len(self._values(place)) < 3 and self._rows >= 10

    def _has_classes(self, place: int, most: int) -> bool:
        number = len(self._values(place))
        few = self._rows < 10 or number * _ROWS_OF_CLASS <= self._content[place].filled
        return 2 <= number <= most and few

    def _undecided(self, what: str, option: str) -> UndecidedError:
        return UndecidedError(
            f"{self._table.name}: cannot determine which column {what}; specify it with {option}. "
            f"The columns are {listed(self._table.header)}; the options are {OPTIONS}",
            path_known=option != "--path-column",
        )


def _without_none(*places: int | None) -> set[int]:
    return {place for place in places if place is not None}


def _is_number(value: str) -> bool:
    try:
        float(value.replace(",", "."))
    except ValueError:
        return False
    return True


def label_of(table: Table, columns: Columns) -> Callable[[Sequence[str]], str]:
    """Return the function that reads the label from the cells of a row; "" if there is none."""
    if len(columns.label) == 1:
        place = columns.label[0]
        return lambda cells: cells[place]
    names = [(place, table.header[place]) for place in columns.label]
    return lambda cells: next((name for place, name in names if cells[place] in _ONES), "")
