"""Grouping of copies of the same image where no patients are known, so that copies do not leak.

Copies are found by the search whose results `data.exploration` shows on its page: equal pixels at
a small size, and thumbnails that differ by less than those of a copy saved again with loss.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from PIL import __version__ as pillow_version
from simplejpeg import __version__ as simplejpeg_version

from data.images import DECODING_RULES
from data.layouts import Index
from data.names import one_spelling
from data.reuse import image_keys

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Measures stored for each image, in addition to path and size, which identify an unchanged file.
_KEPT = ("source_xxh128", "pixels_sha256", "spread", "signature")
#: Sets of similar images count as copies if the largest set contains at most this fraction of the
#: images, or at most this number of images. In data sets where it is larger (slices of one scan,
#: blots on one background), all images resemble each other.
_LARGEST_SHARE, _ALWAYS = 0.1, 20
_SHOWN = 2


@dataclass(frozen=True)
class Copies:
    """Sets of copies among the images of a table."""

    #: Set number of each row; rows with equal numbers are copies of each other.
    sets: tuple[int, ...]
    #: Set number of each row, counting only images with equal pixels, which `data.duplicates`
    #: finds too.
    equal: tuple[int, ...]
    #: Measures to be stored for the next call: columns path, source_bytes and ``_KEPT``.
    measured: pa.Table
    #: Sentences on searches that were not made.
    notes: tuple[str, ...] = ()


def measuring_rules() -> str:
    """Return a string of the rules and versions that determine the measures of an image."""
    return f"rules {DECODING_RULES}, pillow {pillow_version}, simplejpeg {simplejpeg_version}"


def find_copies(
    index: Index,
    table: pa.Table,
    known: pa.Table | None = None,
    *,
    spark: "SparkSession | None" = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Copies:
    """Find copies among the images of ``table``.

    Parameters
    ----------
    index
        Index of the source.
    table
        Rows of the index that belong to the selected classes.
    known
        ``measured`` of an earlier call: files with the same path and size are not read again.
    spark, workers, progress
        As for `data.exploration.survey.measure_files`.
    """
    from data.exploration.survey import measure_files

    rows = table.select(["path"]).append_column("source_bytes", index.bytes_of(table["path"]))
    schema = _kept_schema()
    known = schema.empty_table() if known is None else known
    place = pc.index_in(image_keys(rows), value_set=image_keys(known))
    is_new = pc.is_null(place)
    new = rows.filter(is_new)
    measured = measure_files(
        index.root,
        new.column("path").to_pylist(),
        fingerprints=True,
        spark=spark,
        workers=workers,
        progress=progress,
    )
    found = pa.table(
        [*new.columns, *(measured.column(name) for name in _KEPT)], schema
    ).combine_chunks()
    both = pa.concat_tables([known, found])
    order = pc.index_in(image_keys(rows), value_set=image_keys(both))
    kept = both.take(order)
    return _joined(table, kept)


def regroup_copies(
    table: pa.Table, copies: Copies, *, within_folds: bool, before: Collection[str] = ()
) -> pa.Table:
    """Set ``group`` and ``patient_id`` to the name of the first image of each set of copies.

    Parameters
    ----------
    table
        The table that was passed to `find_copies`.
    copies
        Result of `find_copies`.
    within_folds
        If True, keep copies in different parts of the publisher's split in separate groups, because
        the side of each part is fixed.
    before
        Groups of an earlier split: a set that contains one of them keeps its name.
    """
    images = [one_spelling(name) for name in table.column("image_id").to_pylist()]
    folds = table.column("fold").to_pylist() if within_folds else [""] * len(images)
    members: dict[tuple[int, str], list[str]] = defaultdict(list)
    for key, image in zip(zip(copies.sets, folds, strict=True), images, strict=True):
        members[key].append(image)
    name_of = {
        key: min(names, key=lambda name: (name not in before, name))
        for key, names in members.items()
    }
    column = pa.array([name_of[key] for key in zip(copies.sets, folds, strict=True)], pa.string())
    for name in ("group", "patient_id"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), column)
    return table


def notes_on_copies(table: pa.Table, copies: Copies, sides: Mapping[str, str]) -> tuple[str, ...]:
    """Return notes on copies, one sentence each.

    Copies with equal pixels on two sides of the split or in two classes are not reported here but
    by `data.duplicates.Duplicates`.

    Parameters
    ----------
    table
        Result of `regroup_copies`.
    copies
        Result of `find_copies`.
    sides
        Mapping from group to side of the split.
    """
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(copies.sets):
        rows_of[number].append(row)
    several = [rows for rows in rows_of.values() if len(rows) > 1]
    paths, classes, groups = (
        table.column(name).to_pylist() for name in ("path", "class_name", "group")
    )
    alike = [rows for rows in several if len({copies.equal[row] for row in rows}) > 1]
    torn = [rows for rows in alike if len({sides[groups[row]] for row in rows}) > 1]
    mixed = [rows for rows in alike if len({classes[row] for row in rows}) > 1]
    together = [rows for rows in several if len({groups[row] for row in rows}) == 1]
    findings = (
        (together, "sets of copies of the same image are kept on one side of the split"),
        (torn, "sets of images that look the same are on two sides of the split: a LEAK"),
        (mixed, "sets of images that look the same are in two classes: one label is wrong"),
    )
    notes = [
        f"{len(sets):,} {words} ({_examples(paths, sets)})." for sets, words in findings if sets
    ]
    return (*notes, *copies.notes)


def _kept_schema() -> pa.Schema:
    from data.exploration.measure import MEASURE_SCHEMA

    fields = [MEASURE_SCHEMA.field(name) for name in _KEPT]
    return pa.schema([("path", pa.string()), ("source_bytes", pa.int64()), *fields])


def _joined(table: pa.Table, kept: pa.Table) -> Copies:
    """Join images with equal pixels and, where similarity is meaningful, images that look alike."""
    from data.exploration.similar import MOST_IMAGES, similar_sets

    root: dict[bytes | int, int] = {}
    sets = [
        root.setdefault(row if digest is None else digest, row)
        for row, digest in enumerate(kept.column("pixels_sha256").to_pylist())
    ]
    if table.num_rows > MOST_IMAGES:
        note = (
            "Copies saved again with loss were not searched for, because there are more than "
            f"{MOST_IMAGES:,} images. Copies with equal pixels are kept together."
        )
        return Copies(tuple(sets), tuple(sets), kept, (note,))
    judged = kept.append_column("patient_id", table["image_id"])
    alike = similar_sets(judged.append_column("class_name", table["class_name"]))
    row_of = {path: row for row, path in enumerate(table.column("path").to_pylist())}
    merged = {number: number for number in sets}
    for found in alike:
        numbers = sorted(sets[row_of[path]] for path in found.paths)
        merged |= dict.fromkeys(numbers, numbers[0])
    joined = tuple(merged[number] for number in sets)
    sizes: dict[int, int] = defaultdict(int)
    for number in joined:
        sizes[number] += 1
    if alike and max(sizes.values()) > max(_ALWAYS, _LARGEST_SHARE * table.num_rows):
        note = (
            "Many of the images look alike, so copies saved again with loss cannot be "
            "distinguished from other images; only images with equal pixels are kept together."
        )
        return Copies(tuple(sets), tuple(sets), kept, (note,))
    return Copies(joined, tuple(sets), kept)


def _examples(paths: Sequence[str], sets: Sequence[Sequence[int]]) -> str:
    shown = [" = ".join(repr(paths[row]) for row in rows[:2]) for rows in sets[:_SHOWN]]
    return f"for example {', '.join(shown)}"
