"""Groups of a source's images and their sides of the split, for ingests and split manifests."""

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
    """Images of a source with their classes, groups and sides of the split."""

    #: Columns of the index and ``label``; the manifest assigns the values of ``group``.
    table: pa.Table
    class_names: tuple[str, ...]
    #: Notes on classes, parts and copies, one sentence each.
    notes: tuple[str, ...]
    manifest: SplitManifest
    #: Unit of a group.
    unit: Unit
    #: Measures by which copies were found, to be stored; None if patients are known.
    measured: pa.Table | None = None


def unit_of(index: Index, config: DataConfig) -> Unit:
    """Return the unit whose images are kept on one side of the split."""
    return "image" if config.split.by == "image" else index.unit


def check_division(index: Index, config: DataConfig) -> tuple[pa.Table, tuple[str, ...]]:
    """Select the classes and refuse splits that are impossible, without reading images.

    If the index identifies no patients, each image counts as a group. `divide` may form larger
    groups of copies, so a manifest of such groups is checked only there.

    Returns
    -------
    table, class_names
        As returned by `data.classes.select_classes`.

    Raises
    ------
    DataError
        As raised by `divide`.
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
    """Select the classes, form groups and assign each group to a side of the split.

    If the index identifies no patients, every image is read, so that copies of the same image form
    one group.

    Parameters
    ----------
    index
        Index of the source.
    config
        Selection of classes and settings of the split.
    before
        Earlier split with the same configuration, made before images were added or removed.
    known
        ``measured`` of an earlier division, whose images are not read again.
    spark, workers, progress
        As for `data.copies.find_copies`, which reads the images.

    Raises
    ------
    DataError
        As raised by `data.classes.select_classes` and `data.splitting.make_split`.
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
