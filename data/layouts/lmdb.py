"""LMDB databases of Caffe: labels in the records, image names and patients in the keys."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from data.config import DataConfig, LayoutName
from data.datum import DATABASE, LOCK, BadRecord, records
from data.errors import DataError
from data.layouts.base import FILE_SCHEMA, Index, IndexBuilder
from data.layouts.column_names import is_part
from data.layouts.listing import Listing
from data.layouts.paths import without_suffix
from data.layouts.patterns import finder
from data.storage import read_bytes

#: Files that contain one class name in each line, in the order of the labels.
LABEL_FILES = ("labels.txt", "synset_words.txt")
#: ``convert_imageset`` puts the number of the image before its path.
_NUMBER = re.compile(r"\d{8,}_(?=.)")
#: Line for the terminal if no patients are known.
_WITHOUT_PATIENTS = (
    "no patients are known: each image is its own group, so images of one patient may be on both "
    "sides of the split and scores may be too high; --group-pattern finds patients in the keys"
)
#: Reason for a record in whose key the group pattern finds no patient.
_UNMATCHED = "does not match the group pattern"
_WORDS = re.compile(r"[\W_]+")


class Lmdb:
    """The layout ``lmdb``."""

    name: LayoutName = "lmdb"
    expects = "LMDB databases of Caffe (data.mdb), in the folder or below, and no image files"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether there are databases, and image files only if the layout was chosen."""
        return bool(databases(listing)) and (config.layout == self.name or not listing.images)

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use every record; its label is the class, and ``--group-pattern`` finds its patient.

        Raises
        ------
        DataError
            If a database cannot be read or is in an object store, or the class names are unclear.
        """
        if not isinstance(listing.filesystem, fs.LocalFileSystem):
            raise DataError(
                f"{listing.uri}: LMDB databases are read from a disk only; copy the folder to a "
                "disk that all executors can read"
            )
        if config.class_pattern is not None:
            raise DataError(
                "--class-pattern is for class folders; the labels of an LMDB are in its records"
            )
        names_file, names = _class_names(listing)
        patient_in = None
        if config.group_pattern is not None:
            patient_in = finder(config.group_pattern, "patient", "--group-pattern")
        builder, sizes = IndexBuilder(), dict[str, int]()
        for database in databases(listing):
            _add_records(builder, listing, database, names, patient_in, sizes)
        index = builder.finish(
            self.name,
            listing,
            _notes(builder),
            unit="image" if patient_in is None else "patient",
            tables={*databases(listing), *_locks(listing), *filter(None, [names_file])},
        )
        added = pa.table([pa.array(sizes, pa.string()), pa.array(sizes.values())], FILE_SCHEMA)
        files = pa.concat_tables([index.files, added])
        return replace(index, files=files, reading=_lines(index, listing, config, names_file))


def databases(listing: Listing) -> list[str]:
    """Return the database files of the source."""
    return [path for path in listing.files if path.rpartition("/")[2] == DATABASE]


def _locks(listing: Listing) -> list[str]:
    return [path for path in listing.files if path.rpartition("/")[2] == LOCK]


def _add_records(
    builder: IndexBuilder,
    listing: Listing,
    database: str,
    names: list[str] | None,
    patient_in: Callable[[str], str] | None,
    sizes: dict[str, int],
) -> None:
    """Add the records of one database to ``builder``, and their sizes in bytes to ``sizes``."""
    folder = database.rpartition("/")[0]
    fold = _part(folder)
    try:
        for record in records(f"{listing.root}/{database}"):
            try:
                key = record.key.decode()
            except UnicodeDecodeError:
                shown = record.key.decode("utf-8", "backslashreplace")
                builder.reject(f"{database}/{shown}", "its key is no UTF-8 text")
                continue
            path = f"{database}/{key}"
            sizes[path] = record.size
            place = f"{folder}/{_NUMBER.sub('', key, count=1)}".removeprefix("/")
            patient = patient_in(place) if patient_in else without_suffix(place)
            label = record.label
            if record.problem is not None:
                builder.reject(path, record.problem)
            elif names is not None and not 0 <= label < len(names):
                builder.reject(path, f"its label {label} has no line in the class names")
            elif not patient:
                builder.reject(path, _UNMATCHED)
            else:
                builder.add(
                    path,
                    image_id=without_suffix(place),
                    class_name=str(label) if names is None else names[label],
                    patient_id=patient,
                    fold=fold,
                )
    except BadRecord as error:
        raise DataError(f"{listing.uri}/{database}: {error}") from None


def _notes(builder: IndexBuilder) -> list[str]:
    unmatched = [path for path, reason in builder.rejected() if reason == _UNMATCHED]
    if not unmatched:
        return []
    return [
        "Images left out because the group pattern finds no patient in their key: "
        f"{len(unmatched):,} (for example {unmatched[0]!r})."
    ]


def _part(folder: str) -> str:
    """Return the publisher's part in a folder name such as ``mnist_train_lmdb``, or ""."""
    words = [word for word in _WORDS.split(folder.casefold()) if is_part(word)]
    return words[0] if len({*words}) == 1 else ""


def _class_names(listing: Listing) -> tuple[str | None, list[str] | None]:
    """Return the file of class names below the source and its lines, or None twice."""
    found = [path for path in listing.files if path.rpartition("/")[2] in LABEL_FILES]
    if not found:
        return None, None
    if len(found) > 1:
        raise DataError(
            f"{listing.uri} holds several files of class names ({', '.join(found)}): keep one"
        )
    place = f"{listing.uri}/{found[0]}"
    try:
        text = read_bytes(listing.filesystem, f"{listing.root}/{found[0]}").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{place} is not UTF-8 text: save it as UTF-8") from None
    names = [line.strip() for line in text.rstrip().splitlines()]
    repeated = [name for name, number in Counter(names).items() if number > 1 or not name]
    if repeated or not names:
        raise DataError(
            f"{place} must have one class name in each line, and each once; see {repeated[0]!r}"
            if repeated
            else f"{place} is empty: write one class name a line"
        )
    return found[0], names


def _lines(
    index: Index, listing: Listing, config: DataConfig, names_file: str | None
) -> tuple[str, ...]:
    """Return how the databases were interpreted, and the options that change it."""
    classes, patients = (
        pc.count_distinct(index.table.column(name)).as_py() for name in ("class_name", "patient_id")
    )
    people = "" if index.unit == "image" else f"{patients:,} patients by pattern, "
    number = len(databases(listing))
    first = (
        f"read as {number} LMDB {'database' if number == 1 else 'databases'} of Caffe: {classes} "
        f"classes, {people}{index.table.num_rows:,} images"
    )
    named = (
        f"class names are the lines of {names_file}"
        if names_file
        else "classes are named by their labels; labels.txt in the folder, with one name in each "
        "line, names them otherwise"
    )
    lines = [first, named]
    parts = sorted(filter(None, index.table.column("fold").unique().to_pylist()))
    if parts and config.split.method != "as-is":
        lines.append(
            f"the databases of {', '.join(parts)} are pooled and divided again; --split as-is "
            "uses them as they are"
        )
    return (*lines, _WITHOUT_PATIENTS) if index.unit == "image" else tuple(lines)
