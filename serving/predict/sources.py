"""A folder or a table of images, with or without known classes."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from data.addresses import plain_address
from data.any_table import TABLE_SUFFIXES
from data.classes import select_classes
from data.config import DataConfig
from data.errors import DataError
from data.layouts import Index, read_index
from data.layouts.paths import without_suffix
from data.layouts.unlabeled import Unlabeled, read_unlabeled
from data.names import likeness, visible
from data.options import CLASS, configured
from data.prepared import DATASET_FILE
from data.rejects import LOST, count_kinds, in_words, of_kinds
from data.rejects import table_of as rejects_of
from data.schema import HIDDEN, NO_IMAGE, SET_ASIDE
from data.storage import exists, locate
from serving.predict.images import SCHEMA, Images, Reject, table_of

#: Options that state that the classes are known.
LABELED = (
    "--layout", "--labels", "--label-column", "--class-pattern", CLASS,
)  # fmt: skip
#: Option that prevents scores.
NO_SCORES = "--no-scores"
#: Number of names that a message lists.
_SHOWN = 5


def read_source(
    source: str, options: Mapping[str, Any], class_names: Sequence[str], *, scores: bool = True
) -> Images:
    """Return the images of a folder, an ``s3://`` prefix or a table.

    The classes are read as for training, by `data.layouts.read_index`. They count as known if they
    are classes of the model or an option states them; otherwise folders may be named after
    anything, and all images are classified without scores.

    Parameters
    ----------
    source
        Folder, prefix or table, as typed by the user.
    options
        Options of `data.cli_options.Source` and `data.cli_options.Classes`, as typed.
    class_names
        Classes of the model.
    scores
        False ignores the classes.

    Raises
    ------
    DataError
        If the source cannot be read, or its classes are not those of the model.
    """
    config = configured(source, options)
    _refuse_prepared(source)
    stated = [name for name in LABELED if name in options]
    if stated and not scores:
        raise DataError(f"{stated[0]} and {NO_SCORES}: give one of them")
    try:
        index = read_index(config)
    except DataError:
        if stated:
            raise
        return _unlabeled(source, config, None)
    if not scores:
        return _unlabeled(source, config, index)
    found = _names(index)
    if not stated and not _concerns(found, class_names):
        names = _listed(found)
        line = (
            f"the classes that folders or a table seem to name ({names}) are not those of the "
            f"model ({_listed(class_names)}): no scores are computed; {CLASS} NEW=OLD maps names"
        )
        return replace(_unlabeled(source, config, index), reading=(line,))
    return _labeled(source, config, index, class_names)


def is_table(path: str) -> bool:
    """Return whether a path has the suffix of a table."""
    return path.lower().endswith(TABLE_SUFFIXES)


def _refuse_prepared(source: str) -> None:
    filesystem, root = locate(source)
    if exists(filesystem, f"{root}/{DATASET_FILE}"):
        raise DataError(
            f"{source} is a prepared data set: give the folder of the images from which it was made"
        )


def _concerns(found: Sequence[str], class_names: Sequence[str]) -> bool:
    """Return whether any of the names found is, or resembles, a class of the model."""
    return not {*map(likeness, found)}.isdisjoint(map(likeness, class_names))


def _labeled(source: str, config: DataConfig, index: Index, class_names: Sequence[str]) -> Images:
    selected, _, notes = select_classes(index, config.classes, training=False)
    found = sorted({*selected.column("class_name").to_pylist()})
    if unknown := [name for name in found if name not in class_names]:
        raise DataError(_unknown(source, unknown, class_names))
    prefix = _prefix(source)
    paths = [_joined(prefix, path) for path in selected.column("path").to_pylist()]
    patients = selected.column("patient_id").cast(pa.string())
    if index.unit == "image":
        patients = pa.nulls(selected.num_rows, pa.string())
    table = pa.table(
        [
            pa.array(paths, pa.string()),
            selected.column("image_id"),
            patients,
            selected.column("class_name"),
        ],
        SCHEMA,
    )
    rejects, left_out = _rejects(index.rejects, prefix)
    return Images(
        table, rejects, left_out, index.reading, index.unit, index, (*index.notes, *notes)
    )


def _unlabeled(source: str, config: DataConfig, index: Index | None) -> Images:
    """Return all images of the source, with the patients of the index if it knows them."""
    found = read_unlabeled(config)
    if index is not None and config.group_pattern is None:
        found = _with_patients(found, index)
    prefix = _prefix(source)
    if not found.images:
        reasons = "; ".join(f"{path}: {reason}" for path, reason, _ in found.rejects[:3])
        raise DataError(f"{source}: no image files were found" + (reasons and f"; {reasons}"))
    rows = [
        {
            "path": _joined(prefix, path),
            "image_id": without_suffix(path),
            "patient_id": patient or None,
            "class_name": None,
        }
        for path, patient in found.images.items()
    ]
    rejects, left_out = _rejects(rejects_of(found.rejects), prefix)
    return Images(table_of(rows), rejects, left_out, unit=found.unit)


def _with_patients(found: Unlabeled, index: Index) -> Unlabeled:
    names: dict[str, str] = {}
    if index.unit != "image":
        columns = (index.table.column(name).to_pylist() for name in ("path", "patient_id"))
        names = dict(zip(*columns, strict=True))
    images = {path: names.get(path, "") for path in found.images}
    return replace(found, images=images, unit=index.unit)


def _rejects(table: pa.Table, prefix: str) -> tuple[tuple[Reject, ...], str]:
    """Return the rejects that could have been images, and the others in words."""
    lost = [
        Reject(_joined(prefix, row["path"]), row["reason"])
        for row in of_kinds(table, LOST).to_pylist()
    ]
    others = of_kinds(table, (SET_ASIDE, NO_IMAGE, HIDDEN))
    return tuple(lost), in_words(count_kinds(others))


def _names(index: Index) -> list[str]:
    return sorted({*index.table.column("class_name").to_pylist()})


def _unknown(source: str, unknown: Sequence[str], class_names: Sequence[str]) -> str:
    alike = {likeness(name): name for name in class_names}
    example = next(
        (f"{alike[likeness(name)]}={name}" for name in unknown if likeness(name) in alike),
        f"{class_names[0]}={unknown[0]}",
    )
    verb = "is no class" if len(unknown) == 1 else "are no classes"
    return (
        f"{source}: {_listed(unknown)} {verb} of the model, which knows {_listed(class_names)}: "
        f"map names with {CLASS} '{example}', select some with {CLASS}, or give {NO_SCORES}"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(visible, names[:_SHOWN])) + more


def _prefix(source: str) -> str:
    """Return the folder of the images as the user typed it, empty for the working folder."""
    address = plain_address(source)
    if is_table(address):
        address = posixpath.dirname(address)
    return "" if address in ("", ".", "./") else address.rstrip("/") or "/"


def _joined(prefix: str, path: str) -> str:
    if not prefix or path.startswith("/") or "://" in path:
        return path
    return f"{prefix.rstrip('/')}/{path}"
