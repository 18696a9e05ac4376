"""Split given by the publisher's folders, used unchanged."""

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from data.config import Unit
from data.errors import DataError
from data.names import one_spelling, visible

#: Mapping from publishers' folder names to sides of the split.
PART_SIDES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
#: Maximum number of groups in a message.
_SHOWN = 3


def side_of_part(name: str) -> str | None:
    """Return the side of the split that a folder name denotes, None for other names."""
    return PART_SIDES.get(one_spelling(name).casefold())


def sides_of_parts(parts: Iterable[str]) -> dict[str, str]:
    """Return a mapping from part to side of the split, for all parts that occur.

    If there is no test part, the validation part becomes the test set. Validation images are then
    drawn from the training part, as they are if there is no validation part.

    Raises
    ------
    DataError
        If there is no training part, or no other part.
    """
    named = {part: side_of_part(part) for part in sorted({*parts} - {""})}
    sides = {part: side for part, side in named.items() if side is not None}
    found = {*sides.values()}
    if "train" not in found or len(found) == 1:
        has = ", ".join(map(visible, named)) or "none"
        raise DataError(
            "--split as-is uses the folders train, val and test of the source, and it has no "
            f"folders train and test (parts found: {has}); omit --split as-is to draw a new split, "
            "or select published folds with --test-fold"
        )
    if "test" not in found:
        sides = {part: "test" if side == "validation" else side for part, side in sides.items()}
    return sides


def note_on_parts(parts: Iterable[str]) -> str:
    """Return a sentence on the part from which each side of the split was made."""
    sides = sides_of_parts(parts)
    listed = ", ".join(f"{side} from '{visible(part)}'" for part, side in sides.items())
    drawn = "" if "validation" in sides.values() else ", validation drawn from the training images"
    return f"The split is that of the source's own folders: {listed}{drawn}."


def assign_parts(table: pa.Table, unit: Unit) -> dict[str, str]:
    """Return a mapping from group to side of the split according to the parts of its images.

    Parameters
    ----------
    table
        Columns ``group`` and ``fold``.
    unit
        Unit of a group, for messages.

    Raises
    ------
    DataError
        If the parts do not form a split, an image is in no part, or a group is in two of them.
    """
    folds = table.column("fold").to_pylist()
    sides = sides_of_parts(folds)
    found: dict[str, set[str]] = defaultdict(set)
    outside = 0
    for group, fold in zip(table.column("group").to_pylist(), folds, strict=True):
        if fold not in sides:
            outside += 1
        else:
            found[group].add(sides[fold])
    if outside:
        raise DataError(
            f"{outside:,} images are in none of the folders {', '.join(map(visible, sides))}; "
            "omit --split as-is to draw a new split"
        )
    torn = sorted(group for group, where in found.items() if len(where) > 1)
    if torn:
        more = f" and {len(torn) - _SHOWN:,} more" if len(torn) > _SHOWN else ""
        examples = ", ".join(
            f"{visible(group)} in {' and '.join(sorted(found[group]))}" for group in torn[:_SHOWN]
        )
        subject = f"1 {unit} is" if len(torn) == 1 else f"{len(torn):,} {unit}s are"
        raise DataError(
            f"{subject} in more than one of the publisher's folders ({examples}{more}), which "
            f"would leak; omit --split as-is to draw a split by {unit}, or give --split-by image "
            "to divide by image anyway"
        )
    return {group: where.pop() for group, where in found.items()}
