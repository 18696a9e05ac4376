"""Class folders: class and patient are given by folder levels or regular expressions."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from data.config import DataConfig, LayoutName
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder
from data.layouts.file_names import propose_pattern
from data.layouts.levels import Levels, Place, read_levels
from data.layouts.listing import Listing
from data.layouts.paths import without_suffix
from data.layouts.patterns import finder
from data.names import one_spelling, visible
from data.published_parts import side_of_part
from data.schema import SPLITS

#: Class names that a line for the terminal lists.
_CLASSES_SHOWN = 6
#: Line for the terminal if no patients are known.
WITHOUT_PATIENTS = (
    "no patients are known: each image is its own group, so images of one patient may be on both "
    "sides of the split and scores may be too high; specify patients with --group-pattern, "
    "folders class/patient/image, or a table (--labels)"
)


@dataclass(frozen=True)
class _Reading:
    """Rules that find the class and the patient of a path."""

    levels: Levels
    #: Function that returns the class by pattern, None if folders name it.
    class_in: Callable[[str], str] | None
    #: Function that returns the patient by pattern, None if folders name it or it is unknown.
    patient_in: Callable[[str], str] | None

    @property
    def has_patients(self) -> bool:
        """True if a pattern or a level of folders names the patient."""
        return self.patient_in is not None or self.levels.has_patients


class Folders:
    """The layout ``folders``."""

    name: LayoutName = "folders"
    expects = "one folder for each class, with or without folders for patients, visits and parts"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether a pattern was given or two folders contain images."""
        if config.group_pattern is not None or config.class_pattern is not None:
            return True
        return len({path.rpartition("/")[0] for path in listing.images} - {""}) > 1

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use every image whose folders, or whose path by pattern, name the class.

        If a level of folders or a pattern names the patient, each image must have one; otherwise
        each image is its own group, and the unit of the index is the image.
        """
        # A million paths are in few folders, so only the folders are parsed.
        folders = [sys.intern(path.rpartition("/")[0]) for path in listing.images]
        reading = _read(listing.images, Counter(folders), config)
        if reading.class_in is None and not reading.levels.has_classes:
            raise DataError(_without_class(listing, folders))
        builder = IndexBuilder()
        unmatched: dict[str, list[str]] = {}
        for path, folder in zip(listing.images, folders, strict=True):
            place = reading.levels.places[folder]
            class_name = reading.class_in(path) if reading.class_in else place.class_name
            patient = _patient(reading, place, path)
            reason = _why_not(class_name, patient, config)
            if reason is None:
                builder.add(
                    path,
                    image_id=without_suffix(path),
                    class_name=class_name,
                    patient_id=patient,
                    fold=place.part,
                )
            else:
                unmatched.setdefault(reason, []).append(path)
                builder.reject(path, reason)
        index = builder.finish(
            self.name,
            listing,
            _notes(unmatched),
            unit="patient" if reading.has_patients else "image",
        )
        return replace(index, reading=_lines(index, reading, as_is=config.split.method == "as-is"))


def locate_classes(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Return class folder and publisher's part of each path; empty if there is none."""
    folders = [path.rpartition("/")[0] for path in paths]
    places = read_levels(Counter(folders)).places
    return [(places[folder].class_name, places[folder].part) for folder in folders]


def _read(paths: Sequence[str], folders: Counter[str], config: DataConfig) -> _Reading:
    patient_in = class_in = classes = None
    if config.group_pattern is not None:
        patient_in = finder(config.group_pattern, "patient", "--group-pattern")
    if config.class_pattern is not None:
        class_in = finder(config.class_pattern, "class", "--class-pattern")
        classes = {one_spelling(class_in(path)) for path in paths} - {""}
    levels = read_levels(folders, classes=classes, patients_wanted=patient_in is None)
    return _Reading(levels, class_in, patient_in)


def _patient(reading: _Reading, place: Place, path: str) -> str:
    if reading.patient_in is not None:
        return reading.patient_in(path)
    return place.patient if reading.levels.has_patients else without_suffix(path)


def _why_not(class_name: str, patient: str, config: DataConfig) -> str | None:
    """Return why an image is left out, None if it has a class and a patient."""
    if not class_name:
        if config.class_pattern is not None:
            return f"does not match the class pattern {config.class_pattern}"
        return "does not stand in a class folder with a name"
    if patient:
        return None
    if config.group_pattern is not None:
        return f"does not match the group pattern {config.group_pattern}"
    return "does not stand in a patient's folder with a name"


def _notes(unmatched: dict[str, list[str]]) -> list[str]:
    causes = {
        "does not match the class": "the class pattern finds no class in their path",
        "does not match the group": "the group pattern finds no patient in their path",
        "does not stand in a patient": "they are not in the folder of a patient",
    }
    return [
        f"Images left out because {cause}: {len(paths):,} (for example {paths[0]!r})."
        for reason, paths in unmatched.items()
        for beginning, cause in causes.items()
        if reason.startswith(beginning)
    ]


def _without_class(listing: Listing, folders: Sequence[str]) -> str:
    named = sorted({*folders} - {""})
    if not named:
        return (
            f"{listing.uri}: there are no class folders: give the labels in a table with --labels "
            "table.csv, or find the class in each file name with --class-pattern, for example "
            "--class-pattern '(benign|malignant)'"
        )
    return (
        f"{listing.uri}: no folder names a class: each of the {len(named):,} folders with images "
        f"seems to be a patient (for example '{visible(named[0])}'); give the labels in a table "
        "with --labels table.csv, or find the class in each path with --class-pattern, for example "
        "--class-pattern '(benign|malignant)'"
    )


def _lines(index: Index, reading: _Reading, *, as_is: bool) -> tuple[str, ...]:
    """Return how the folder was interpreted, with counts, and the options that change it."""
    names, patients, parts = (
        sorted({*index.table.column(column).unique().to_pylist()})
        for column in ("class_name", "patient_id", "fold")
    )
    shown = ", ".join(map(visible, names[:_CLASSES_SHOWN]))
    more = ", …" if len(names) > _CLASSES_SHOWN else ""
    people = f"{_count(len(patients), 'patient')}, " if reading.has_patients else ""
    by = [
        f"{what} by pattern"
        for what, find in (("class", reading.class_in), ("patient", reading.patient_in))
        if find is not None
    ]
    lines = [
        f"read as {', '.join([reading.levels.shape, *by])}: "
        f"{_count(len(names), 'class')} ({shown}{more}), {people}"
        f"{_count(index.table.num_rows, 'image')}"
    ]
    if parts := sorted(filter(None, parts), key=_order_of_sides):
        named = ", ".join(map(visible, parts))
        lines.append(
            f"the ready-made folders {named} are used as they are (--split as-is)"
            if as_is
            else f"the ready-made folders {named} are pooled and divided again; --split as-is "
            "uses them as they are"
        )
    if not reading.has_patients:
        return (*lines, WITHOUT_PATIENTS, *_proposal(index, len(names)))
    lines.append(
        "to read it in another way, give --class-pattern, --group-pattern (regular expressions) or "
        "--layout"
    )
    return tuple(lines)


def _order_of_sides(part: str) -> int:
    return SPLITS.index(side_of_part(part) or "train")


def _proposal(index: Index, classes: int) -> list[str]:
    """Return a line that proposes a pattern if file names seem to contain a patient, else []."""
    found = propose_pattern(index.table.column("path").to_pylist(), classes)
    if found is None:
        return []
    examples = ", ".join(f"{visible(file)} -> {visible(who)}" for file, who in found.examples)
    return [
        f"file names seem to contain a patient: --group-pattern '{found.pattern}' would give "
        f"{found.patients:,} patients with {found.images / found.patients:.1f} images each "
        f"({examples})"
    ]


def _count(number: int, one: str) -> str:
    several = f"{one}es" if one.endswith("s") else f"{one}s"
    return f"{number:,} {one if number == 1 else several}"


__all__ = ["WITHOUT_PATIENTS", "Folders", "locate_classes"]
