"""From the index of a source to groups and their sides, alike for an ingest and a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from data.classes import select_classes
from data.config import DataConfig, Unit
from data.copies import Copies, find_copies, notes_on_copies, regroup_copies
from data.layouts import Index
from data.published_parts import note_on_parts
from data.splitting import SplitManifest, make_split, regroup

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Division:
    """The images of a source with their classes, groups and sides."""

    #: Columns of the index and ``label``; ``group`` is what the manifest assigns.
    table: pa.Table
    class_names: tuple[str, ...]
    #: On classes, parts and copies, one sentence each.
    notes: tuple[str, ...]
    manifest: SplitManifest
    #: Unit of a group.
    unit: Unit
    #: Measures by which copies were found, to be kept; None where patients are known.
    measured: pa.Table | None = None


def unit_of(index: Index, config: DataConfig) -> Unit:
    """Return what stands on one side of the split as a whole."""
    return "image" if config.split.by == "image" else index.unit


def check_division(index: Index, config: DataConfig) -> tuple[pa.Table, tuple[str, ...]]:
    """Select the classes and refuse a split that names and tables alone show to be impossible.

    No image is read. Where the index names no patients, each image counts as a group, although
    copies may form larger groups in `divide`, which alone checks a manifest of such groups.

    Returns
    -------
    table, class_names
        As `data.classes.select_classes` returns them.

    Raises
    ------
    DataError
        As `divide` does.
    """
    table, class_names, _ = select_classes(index, config.classes)
    if index.unit != "image" or config.split.manifest is None:
        make_split(regroup(table, config.split.by), config.split, unit=unit_of(index, config))
    return table, class_names


def divide(
    index: Index,
    config: DataConfig,
    *,
    before: SplitManifest | None = None,
    known: pa.Table | None = None,
    spark: "SparkSession | None" = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Division:
    """Select the classes, form groups and give each its side of the split.

    Where the index names no patients, every image is read, so that images which show the same are
    one group.

    Parameters
    ----------
    index
        What the layout has found.
    config
        Classes and split.
    before
        The split of the same configuration when there were other images.
    known
        ``measured`` of an earlier division, whose images are not read again.
    spark, workers, progress
        For reading images, as for `data.copies.find_copies`.

    Raises
    ------
    DataError
        As `data.classes.select_classes` and `data.splitting.make_split` do.
    """
    table, class_names, notes = select_classes(index, config.classes)
    unit = unit_of(index, config)
    copies: Copies | None = None
    if index.unit == "image":
        copies = find_copies(index, table, known, spark=spark, workers=workers, progress=progress)
        table = regroup_copies(
            table,
            copies,
            within_folds=config.split.method != "stratified",
            before=before.assignments if before else (),
        )
    else:
        table = regroup(table, config.split.by)
    manifest = make_split(table, config.split, before, unit)
    if config.split.method == "as-is" and config.split.manifest is None:
        notes = (*notes, note_on_parts(table.column("fold").to_pylist()))
    if copies is None:
        return Division(table, class_names, notes, manifest, unit)
    notes = (*notes, *notes_on_copies(table, copies, manifest.assignments))
    return Division(table, class_names, notes, manifest, unit, copies.measured)
