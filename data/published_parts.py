"""The split that a publisher has made by folders, used as it is."""

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from data.config import Unit
from data.errors import DataError
from data.names import one_spelling, visible

#: Folders that publishers divide their images into -> the side of a split that each of them is.
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
#: Groups in a message.
_SHOWN = 3


def side_of_part(name: str) -> str | None:
    """Return the side of a split that a folder of this name is, None for other names."""
    return PART_SIDES.get(one_spelling(name).casefold())


def sides_of_parts(parts: Iterable[str]) -> dict[str, str]:
    """Return part -> side of the split, of all parts that occur.

    Where there is no test part, the validation part becomes the test set: validation images are
    then drawn from the training part, as they are where there is no validation part.

    Raises
    ------
    DataError
        When there is no training part, or nothing beside it.
    """
    named = {part: side_of_part(part) for part in sorted({*parts} - {""})}
    sides = {part: side for part, side in named.items() if side is not None}
    found = {*sides.values()}
    if "train" not in found or len(found) == 1:
        has = ", ".join(map(visible, named)) or "none"
        raise DataError(
            "--split as-is uses the folders train, val and test of the source, and it has no "
            f"folders train and test (parts found: {has}); omit --split as-is, so that the images "
            "are divided anew, or name published folds with --test-fold"
        )
    if "test" not in found:
        sides = {part: "test" if side == "validation" else side for part, side in sides.items()}
    return sides


def note_on_parts(parts: Iterable[str]) -> str:
    """Return the sentence that says which part became which side of the split."""
    sides = sides_of_parts(parts)
    listed = ", ".join(f"{side} from '{visible(part)}'" for part, side in sides.items())
    drawn = "" if "validation" in sides.values() else ", validation drawn from the training images"
    return f"The split is that of the source's own folders: {listed}{drawn}."


def assign_parts(table: pa.Table, unit: Unit) -> dict[str, str]:
    """Return group -> side as the parts of its images say.

    Parameters
    ----------
    table
        Columns ``group`` and ``fold``.
    unit
        What a group is, for messages.

    Raises
    ------
    DataError
        When the parts are none that a split can be made of, or a group stands in two of them.
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
            f"{outside:,} images stand in none of the folders {', '.join(map(visible, sides))}; "
            "omit --split as-is, so that the images are divided anew"
        )
    torn = sorted(group for group, where in found.items() if len(where) > 1)
    if torn:
        more = f" and {len(torn) - _SHOWN:,} more" if len(torn) > _SHOWN else ""
        examples = ", ".join(
            f"{visible(group)} in {' and '.join(sorted(found[group]))}" for group in torn[:_SHOWN]
        )
        stand = f"1 {unit} stands" if len(torn) == 1 else f"{len(torn):,} {unit}s stand"
        raise DataError(
            f"{stand} in more than one of the ready-made folders ({examples}{more}), which would "
            f"leak; omit --split as-is, so that the split is drawn by {unit}, or give "
            "--split-by image to divide by image all the same"
        )
    return {group: where.pop() for group, where in found.items()}
