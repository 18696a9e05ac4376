"""Recognition of the folder levels of the class, the patient and a publisher's part.

The decision depends only on names: a class level has few names, which repeat under many patients
or are above many of them; a patient level has the most names, which contain numbers or a word for
patients. Since only the names of a level and their combinations with those of other levels are
known, the interpretation is shown to the user with its counts and can be replaced by patterns.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from data.layouts.folder_names import aside
from data.layouts.level_choice import Choice, choose, choose_patients
from data.names import one_spelling
from data.published_parts import side_of_part

#: Share of the images that must be in a publisher's parts; the others are not used.
_IN_PARTS = 0.95


@dataclass(frozen=True)
class Place:
    """Class, patient and part of the images in a folder; each is empty if unknown."""

    class_name: str = ""
    patient: str = ""
    part: str = ""


@dataclass(frozen=True)
class Levels:
    """Interpretation of the folders of a source."""

    #: Folder -> class, patient and part of its images.
    places: dict[str, Place]
    #: The most common order of levels, for display: ``split/class/patient/image``.
    shape: str
    #: True if a level names the class. Otherwise the folders may be patients.
    has_classes: bool
    #: True if a level names the patient.
    has_patients: bool
    #: Names of the publisher's parts as they are spelled, sorted; empty if there are none.
    parts: tuple[str, ...]


def read_levels(
    folders: Mapping[str, int],
    *,
    classes: Collection[str] | None = None,
    patients_wanted: bool = True,
) -> Levels:
    """Decide what each level of folders represents.

    Parameters
    ----------
    folders
        Folder of images -> number of images directly in it. Paths have slashes and are relative
        to the source; the source itself is the empty path.
    classes
        Names of classes that a pattern has found: no level is then interpreted as the class, and
        a level with only these names is not interpreted as the patient.
    patients_wanted
        False if a pattern finds the patient: a level that would be the patient is then not used,
        neither as the patient nor as the class.
    """
    rows = [_Row(folder, number) for folder, number in folders.items()]
    inside = [row for row in rows if row.names]
    above = _drop_common(inside)
    parts = _set_parts(inside)
    _drop_repeated(inside, above)
    _drop_common(inside)
    chosen = _choose(inside, classes)
    places = {row.folder: Place() for row in rows}
    shapes, first = Counter[tuple[int | None, ...]](), dict[tuple[int | None, ...], str]()
    place_of = lru_cache(maxsize=None)(Place)
    for number, row in enumerate(inside):
        class_at, patient_at = chosen.places(number)
        patient_at = patient_at if patients_wanted else None
        places[row.folder] = place_of(row.name(class_at), row.name(patient_at), row.name(row.part))
        form = (class_at, patient_at, row.part, len(row.names))
        shapes[form] += row.images
        if form not in first:
            first[form] = row.shape(class_at, patient_at)
    return Levels(
        places,
        first[shapes.most_common(1)[0][0]] if shapes else "image",
        chosen.classes is not None,
        chosen.patients is not None and patients_wanted,
        parts,
    )


class _Row:
    """One folder: the parts of its path, and which of them may still be class or patient."""

    def __init__(self, folder: str, images: int) -> None:
        self.folder, self.images = folder, images
        self.names = tuple(map(_name, filter(None, folder.split("/"))))
        #: Candidate positions in the path, from the top.
        self.kept: Sequence[int] = range(len(self.names))
        #: Position of the publisher's part in the path.
        self.part: int | None = None

    def name(self, place: int | None) -> str:
        return "" if place is None else self.names[place]

    def shape(self, class_at: int | None, patient_at: int | None) -> str:
        """Return the levels from the first with a role; others appear by their kind or as ``*``."""
        roles = {class_at: "class", patient_at: "patient", self.part: "split"}
        meant = [place for place in (*self.kept, *roles) if place is not None]
        words = [
            roles.get(place) or aside(name) or "*"
            for place, name in enumerate(self.names)
            if place >= min(meant, default=0)
        ]
        return "/".join([*words, "image"])


@lru_cache(maxsize=2**18)
def _name(name: str) -> str:
    return one_spelling(name)


def _drop_common(rows: Sequence[_Row]) -> set[str]:
    """Drop the levels, from the top and from the bottom, that are the same for all folders.

    Return the names that were dropped. One level is kept if it would be the last: all images then
    belong to one class.
    """
    dropped = set[str]()
    for at in (0, -1):
        while rows and all(row.kept for row in rows):
            single = all(len(row.kept) == 1 for row in rows)
            names = {row.names[row.kept[at]] for row in rows}
            if single or len(names) > 1:
                break
            dropped |= names
            for row in rows:
                row.kept = row.kept[1:] if at == 0 else row.kept[:-1]
    return dropped


def _drop_repeated(rows: Sequence[_Row], above: Collection[str]) -> None:
    """Drop the names of top-level folders that occur again below themselves with a copy of all.

    Kaggle publishes ``chest_xray/train`` together with ``chest_xray/chest_xray/train``.
    """
    rest = [[place for place in row.kept if row.names[place] not in above] for row in rows]
    if len({len(row.kept) for row in rows}) > 1 and len({*map(len, rest)}) == 1:
        for row, kept in zip(rows, rest, strict=True):
            row.kept = kept


def _set_parts(rows: Sequence[_Row]) -> tuple[str, ...]:
    """Find the publisher's part in each folder and return the names of the parts.

    The part may be above or below the class. Folders outside of the parts get no class.
    """
    found = [
        next((place for place in row.kept if side_of_part(row.names[place])), None) for row in rows
    ]
    names = {row.names[at] for row, at in zip(rows, found, strict=True) if at is not None}
    within = sum(row.images for row, at in zip(rows, found, strict=True) if at is not None)
    if len({*map(side_of_part, names)}) < 2 or within < _IN_PARTS * sum(r.images for r in rows):
        return ()
    for row, at in zip(rows, found, strict=True):
        row.part = at
        row.kept = [place for place in row.kept if place != at] if at is not None else []
    return tuple(sorted(names))


def _choose(rows: Sequence[_Row], classes: Collection[str] | None) -> Choice:
    names, kept = [row.names for row in rows], [row.kept for row in rows]
    images = [row.images for row in rows]
    if classes is not None:
        return choose_patients(names, kept, images, classes)
    return choose(names, kept, images)
