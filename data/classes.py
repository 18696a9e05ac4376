"""Selection, merging and numbering of the classes of a source."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from data.errors import DataError
from data.layouts import Index


def select_classes(
    index: Index,
    classes: Mapping[str, Sequence[str]] | Sequence[str] | None,
    *,
    training: bool = True,
) -> tuple[pa.Table, tuple[str, ...], tuple[str, ...]]:
    """Select the images of the requested classes and assign labels.

    Parameters
    ----------
    index
        Index of all images of a source.
    classes
        Class names in label order, or a mapping from each new name to the names of the source that
        are merged into it; None selects all classes, sorted.
    training
        True if at least two classes must remain.

    Returns
    -------
    table : pyarrow.Table
        Columns of the index and ``label`` (int32); ``class_name`` contains the new names.
    class_names : tuple of str
        Class names in label order.
    notes : tuple of str
        One sentence for each merged class, and one for the classes that were left out.

    Raises
    ------
    DataError
        If a name is unknown or used twice, or too few classes remain.
    """
    counts = Counter(index.table.column("class_name").to_pylist())
    members = _members(classes, sorted(counts))
    if training and len(members) < 2:
        raise DataError(
            f"{index.root}: training needs at least two classes, selected: "
            f"{', '.join(members) or 'none'}; the source has {', '.join(sorted(counts))}"
        )
    new_name = _new_names(members, sorted(counts), index.root)
    class_names = tuple(members)
    labels = {name: class_names.index(new) for name, new in new_name.items()}
    table = index.table
    old = table.column("class_name").to_pylist()
    table = table.filter(pa.array([name in new_name for name in old]))
    kept = [name for name in old if name in new_name]
    position = table.schema.get_field_index("class_name")
    table = table.set_column(
        position,
        table.schema.field("class_name"),
        pa.array([new_name[name] for name in kept], pa.string()),
    )
    table = table.append_column(
        pa.field("label", pa.int32(), nullable=False),
        pa.array([labels[name] for name in kept], pa.int32()),
    )
    return table, class_names, tuple(_notes(members, counts, new_name))


def _members(
    classes: Mapping[str, Sequence[str]] | Sequence[str] | None, known: list[str]
) -> dict[str, tuple[str, ...]]:
    """Return a mapping from each new name to the source's names, in label order."""
    if isinstance(classes, Mapping):
        return {new: tuple(names) for new, names in classes.items()}
    chosen = known if classes is None else list(classes)
    twice = [name for name, times in Counter(chosen).items() if times > 1]
    if twice:
        raise DataError(f"class '{twice[0]}' is given twice")
    return {name: (name,) for name in chosen}


def _new_names(
    members: Mapping[str, Sequence[str]], known: list[str], source: str
) -> dict[str, str]:
    """Return a mapping from the source's names to new names.

    Raises
    ------
    DataError
        If a name is unknown or repeated, or a new class has no members.
    """
    new_name: dict[str, str] = {}
    for new, names in members.items():
        if not names:
            raise DataError(f"class '{new}' merges no class of the source, so it has no images")
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise DataError(
                    f"{source} has no images of class '{name}'; it has {', '.join(known)}{hint}"
                )
            if name in new_name:
                raise DataError(
                    f"class '{name}' cannot be merged into both '{new_name[name]}' and '{new}'"
                )
            new_name[name] = new
    return new_name


def _notes(
    members: Mapping[str, Sequence[str]], counts: Mapping[str, int], new_name: Mapping[str, str]
) -> list[str]:
    notes = [
        f"Class {new} consists of {', '.join(names)}."
        for new, names in members.items()
        if tuple(names) != (new,)
    ]
    left_out = {name: images for name, images in counts.items() if name not in new_name}
    if left_out:
        notes.append(
            f"{sum(left_out.values())} images of other classes were left out: "
            + ", ".join(f"{name} {left_out[name]}" for name in sorted(left_out))
            + "."
        )
    return notes
