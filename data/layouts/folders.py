"""Class folders: the folder names the class, a regular expression finds the patient."""

import re
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from data.config import DataConfig, LayoutName
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder, Listing, without_suffix
from data.names import one_spelling, plain_characters

#: Folders above the classes that are a publisher's parts and not classes themselves.
PART_NAMES = frozenset(
    ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "holdout")
)


class Folders:
    """The layout ``folders``."""

    name: LayoutName = "folders"
    expects = "one folder for each class, and a group pattern that finds the patient in each path"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Tell whether a pattern was given or two class folders hold images."""
        classes = {class_name for class_name, _ in locate_classes(listing.images)}
        return config.group_pattern is not None or len(classes - {""}) > 1

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Take every image in a class folder whose path matches ``config.group_pattern``."""
        pattern = _compile(listing.uri, config.group_pattern)
        builder = IndexBuilder()
        images, unmatched = listing.images, []
        for path, (class_name, part) in zip(images, locate_classes(images), strict=True):
            match = pattern.search(plain_characters(path))
            patient = match and match["patient" if "patient" in pattern.groupindex else 1]
            if not class_name:
                builder.reject(path, "does not stand in a class folder with a name")
            elif not patient:
                unmatched.append(path)
                builder.reject(path, f"does not match the group pattern {config.group_pattern}")
            else:
                builder.add(
                    path,
                    image_id=without_suffix(path),
                    class_name=class_name,
                    patient_id=patient,
                    fold=part,
                )
        return builder.finish(self.name, listing, _notes(unmatched))


def _notes(unmatched: Sequence[str]) -> list[str]:
    if not unmatched:
        return []
    return [
        f"Images left out because the group pattern finds no patient in their path: "
        f"{len(unmatched):,} (for example {unmatched[0]!r})."
    ]


def locate_classes(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Return class folder and publisher's part of each path; empty where there is none.

    The class is the first folder below the folders that all images share and, where the folders
    there are all parts (train, test, …), below these.
    """
    # A million paths lie in few folders: only these are taken apart.
    folders = [sys.intern(path.rpartition("/")[0]) for path in paths]
    parts_of = {
        folder: tuple(map(one_spelling, PurePosixPath(folder).parts)) for folder in {*folders}
    }
    every = [*parts_of.values()]
    depth = 0
    while len({parts[depth : depth + 1] for parts in every}) == 1 and every[0][depth:]:
        depth += 1
    first = {parts[depth].lower() for parts in every if len(parts) > depth}
    has_parts = bool(first) and first <= PART_NAMES
    found: dict[str, tuple[str, str]] = {}
    for folder, parts in parts_of.items():
        below = parts[depth:]
        part, below = (below[0], below[1:]) if has_parts and below else ("", below)
        found[folder] = (below[0] if below else "", part)
    if depth and not any(class_name for class_name, _ in found.values()):
        # All images stand in one folder, which is then the one class.
        return [(every[0][depth - 1], "")] * len(paths)
    return [found[folder] for folder in folders]


def _compile(uri: str, group_pattern: str | None) -> re.Pattern[str]:
    if group_pattern is None:
        raise DataError(
            f"{uri}: without a group pattern every image would count as a patient of its own and "
            "one patient could stand on both sides of the split; give a regular expression with "
            r"the patient in parentheses, for example --group-pattern '(patient_\d+)'"
        )
    try:
        pattern = re.compile(_plain_pattern(group_pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"the group pattern {group_pattern} cannot be read: {error}") from None
    if not pattern.groups:
        raise DataError(
            f"the group pattern {group_pattern} must hold the patient in parentheses, "
            r"for example (patient_\d+)"
        )
    return pattern


def _plain_pattern(pattern: str) -> str:
    """Return ``pattern`` in the characters in which paths are searched."""
    return plain_characters("".join(map(_plain_character, pattern)))


def _plain_character(character: str) -> str:
    # A full-width bracket is an ordinary one in the paths, and opens no group in the pattern.
    ordinary = plain_characters(character)
    return ordinary if ordinary == character or ordinary.isalnum() else re.escape(ordinary)
