"""Choice of the folder levels that name the class and the patient."""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from data.layouts.folder_names import aside, has_number, is_code, is_patient_name

#: Share of the names of a level that must be of a kind for the level to be of that kind.
_MOST = 0.8
#: Share of the images that must be in a folder of a level for it to be the class or the patient.
_COVERED = 0.5
#: Largest share of the images for which class and patient may be the same folder.
_SHARED = 0.05
#: A level with more numbered names than this contains patients rather than classes.
_MOST_NUMBERED_CLASSES = 20
#: A level with fewer names than this does not contain patients: each of three parts needs one.
_FEWEST_PATIENTS = 3
#: At least this many names that resemble visits may be patients if no other level is.
_MANY_VISITS = 10
#: At least this many names without numbers are patients; fewer are subtypes or sites. Below the
#: classes: in total and in each class; above them: in total.
_MANY_NAMES, _MANY_IN_A_CLASS, _MANY_ABOVE = 30, 10, 8

#: Weights for and against a pair of levels, in addition to the logarithm of the patients per class.
#: A level below another candidate for the patient must have seven times as many names.
_LOWER, _WORD, _CODE, _NUMBER = 2.0, 3.0, 1.5, 1.0
_NUMBERED_CLASS, _ASIDE, _UNCOVERED = 2.0, 4.0, 6.0


@dataclass(frozen=True)
class Level:
    """A level of folders: one name or None for each folder of images."""

    #: Position of the level in the path of each folder, counted from the top.
    places: tuple[int | None, ...]
    #: Name on this level for each folder.
    values: tuple[str | None, ...]
    #: Number of images in each folder.
    images: Sequence[int]

    @cached_property
    def names(self) -> set[str]:
        """Distinct names."""
        return {name for name in self.values if name}

    @cached_property
    def coverage(self) -> float:
        """Share of the images that are in a folder of this level."""
        found = (number for number, name in zip(self.images, self.values, strict=True) if name)
        return sum(found) / max(sum(self.images), 1)

    @cached_property
    def depth(self) -> float:
        """Average position from the top."""
        places = [place for place in self.places if place is not None]
        return sum(places) / max(len(places), 1)

    @cached_property
    def numbered(self) -> float:
        """Share of the names that contain a digit."""
        return self._share(has_number)

    @cached_property
    def coded(self) -> float:
        """Share of the names that denote a patient or contain a code."""
        return self._share(is_code)

    @cached_property
    def worded(self) -> float:
        """Share of the names that contain a word for a patient."""
        return self._share(is_patient_name)

    @cached_property
    def aside(self) -> float:
        """Share of the names that denote visits, sides, magnifications and similar."""
        return self._share(lambda name: aside(name) is not None)

    def _share(self, is_so: Callable[[str], bool]) -> float:
        return sum(map(is_so, self.names)) / max(len(self.names), 1)

    @property
    def only_patients(self) -> bool:
        """True if these names denote patients and cannot be classes."""
        if self.worded >= _MOST:
            return True
        if len(self.names) > _MOST_NUMBERED_CLASSES and self.numbered >= _MOST:
            return True
        return len(self.names) >= _FEWEST_PATIENTS and self.coded >= _MOST

    @property
    def may_be_patients(self) -> bool:
        """True if these names, considered alone, can denote patients."""
        if self.coverage < _COVERED:
            return False
        if self.worded >= _MOST:
            return len(self.names) > 1
        if self.aside >= 0.5 and len(self.names) < _MANY_VISITS:
            return False
        return len(self.names) >= _FEWEST_PATIENTS and self.numbered >= 0.5

    @property
    def may_be_classes(self) -> bool:
        """True if these names, considered alone, can denote classes."""
        return self.coverage >= _COVERED and len(self.names) > 1 and not self.only_patients


@dataclass(frozen=True)
class Choice:
    """The levels of class and patient; None if no level is suitable."""

    classes: Level | None
    patients: Level | None

    def places(self, folder: int) -> tuple[int | None, int | None]:
        """Return the positions of class and patient in the path of a folder, by its index."""
        class_at = None if self.classes is None else self.classes.places[folder]
        patient_at = None if self.patients is None else self.patients.places[folder]
        return class_at, None if patient_at == class_at else patient_at


def choose(
    names: Sequence[Sequence[str]], kept: Sequence[Sequence[int]], images: Sequence[int]
) -> Choice:
    """Return the levels of class and patient.

    Parameters
    ----------
    names
        Parts of the path of each folder, from the top.
    kept
        Positions in ``names`` that are candidates.
    images
        Number of images in each folder.
    """
    whole = _choose_pair(_levels(names, kept, images))
    without_aside = _without_aside(names, kept, images)
    if without_aside is None:
        return whole
    levels = _levels(names, without_aside, images)
    chosen = _choose_pair(levels)
    if chosen.classes is not None:
        # Visits as numerous as patients, where there are no patients, stay together as groups.
        return whole if chosen.patients is None and whole.patients is not None else chosen
    if whole.classes is None or not levels:
        return whole
    # Levels below patients are not classes: visits, sides, magnifications.
    highest = min(level.depth for level in levels)
    return Choice(None, None) if whole.classes.depth > highest else whole


def choose_patients(
    names: Sequence[Sequence[str]],
    kept: Sequence[Sequence[int]],
    images: Sequence[int],
    classes: Collection[str],
) -> Choice:
    """Return the level of patients if ``classes`` are already known."""
    candidates = [
        level
        for level in _levels(names, kept, images)
        if level.may_be_patients and not level.names <= {*classes} and level.aside < 0.5
    ]
    if not candidates:
        return Choice(None, None)
    scores = [
        math.log(len(level.names)) + _for_patients(level) - _LOWER * rank
        for rank, level in enumerate(candidates)
    ]
    return Choice(None, candidates[scores.index(max(scores))])


def _levels(
    names: Sequence[Sequence[str]], kept: Sequence[Sequence[int]], images: Sequence[int]
) -> list[Level]:
    """Return all levels, topmost first.

    They are counted from the top and, if depths differ, from the bottom as well.
    """
    depths = {len(places) for places in kept if places}
    most = max(depths, default=0)
    indexes: Iterable[int] = range(most)
    if len(depths) > 1:
        indexes = itertools.chain(indexes, range(-1, -most - 1, -1))
    found = []
    for index in indexes:
        places = tuple(
            places[index] if -len(places) <= index < len(places) else None for places in kept
        )
        values = tuple(
            None if place is None else parts[place]
            for parts, place in zip(names, places, strict=True)
        )
        found.append(Level(places, values, images))
    return sorted(found, key=lambda level: level.depth)


def _without_aside(
    names: Sequence[Sequence[str]], kept: Sequence[Sequence[int]], images: Sequence[int]
) -> list[tuple[int, ...]] | None:
    """Return ``kept`` without levels of visits and similar; None if there are none.

    If depths differ because only some patients have visits, single folders are dropped, provided
    that all depths are equal afterwards.
    """
    levels = _levels(names, kept, images)
    if len({len(places) for places in kept if places}) == 1:
        dropped = [level for level in levels if level.aside >= _MOST]
        if not dropped:
            return None
        return [
            tuple(place for place in places if all(place != d.places[row] for d in dropped))
            for row, places in enumerate(kept)
        ]
    rest = [
        tuple(place for place in places if aside(parts[place]) is None)
        for parts, places in zip(names, kept, strict=True)
    ]
    equal = len({len(places) for places, old in zip(rest, kept, strict=True) if old}) == 1
    return rest if equal and any(rest) else None


def _choose_pair(levels: Sequence[Level]) -> Choice:
    """Return the best pair of class and patient, or the class alone."""
    classes = [level for level in levels if level.may_be_classes]
    if len(levels) == 1 and len(levels[0].names) == 1:
        classes = [*levels]  # all images are of one class
    scored = []
    for class_level in classes:
        others = [level for level in levels if level is not class_level]
        patients = [level for level in others if _are_patients(level, class_level)]
        for rank, level in enumerate(patients):
            score = math.log(_patients_in_a_class(class_level, level))
            score += _for_patients(level) - _LOWER * rank + _for_classes(class_level)
            scored.append((score, class_level, level))
    if scored:
        _, class_level, patient_level = max(scored, key=lambda found: found[0])
        return Choice(class_level, patient_level)
    if not classes:
        return Choice(None, None)
    # If levels are equal, the topmost is the class, because subtypes and sites are below it.
    return Choice(max(classes, key=lambda level: _for_classes(level) - 0.5 * level.depth), None)


def _for_classes(level: Level) -> float:
    return (
        -_NUMBERED_CLASS * level.numbered - _ASIDE * level.aside - _UNCOVERED * (1 - level.coverage)
    )


def _for_patients(level: Level) -> float:
    return (
        _NUMBER * level.numbered
        + _CODE * level.coded
        + _WORD * level.worded
        - _ASIDE * level.aside
        - _UNCOVERED / 2 * (1 - level.coverage)
    )


def _are_patients(level: Level, classes: Level) -> bool:
    """Return whether ``level`` can be the patients if ``classes`` is the level of the classes."""
    if len(level.names) < len(classes.names) and level.numbered <= classes.numbered:
        return False
    same = sum(
        number
        for one, other, number in zip(level.places, classes.places, level.images, strict=True)
        if one is not None and one == other
    )
    if same > _SHARED * sum(level.images):
        return False
    if level.may_be_patients:
        return True
    if level.aside >= 0.5 or level.numbered >= 0.5 or level.coverage < _COVERED:
        return False
    if level.depth < classes.depth:
        return len(level.names) >= max(_MANY_ABOVE, 2 * len(classes.names) + 1)
    in_a_class = _patients_in_a_class(classes, level)
    return len(level.names) >= _MANY_NAMES and in_a_class >= _MANY_IN_A_CLASS


def _patients_in_a_class(classes: Level, patients: Level) -> float:
    pairs = {*zip(classes.values, patients.values, strict=True)}
    return max(sum(None not in pair for pair in pairs) / max(len(classes.names), 1), 1.0)
