"""Ingest of image folders into a prepared data set: executors decode, the driver coordinates."""

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from data.chunks import (
    Chunk,
    ChunkResult,
    ImageSize,
    chunk_name,
    pack_rows,
    recipe,
    write_chunk,
)
from data.config import DataConfig, Unit
from data.division import divide
from data.duplicates import find_duplicates
from data.errors import DataError
from data.images import DAMAGED, DECODING_RULES
from data.inputs import inputs_digest
from data.layouts import Index, read_index
from data.local_spark import local_context
from data.output import OutputFolder, write_error
from data.prepared import FilePart, PreparedData, Summary, open_prepared
from data.rejects import LOST, count_kinds, of_kinds, table_of
from data.remarks import Remarks
from data.reuse import PLACE_SCHEMA, with_places
from data.row_order import order_rows, thin_training
from data.schema import SET_ASIDE, SPLITS, UNREADABLE
from data.spark_job import run_tasks
from data.spellings import notes_on_spelling
from data.splitting import SplitManifest
from data.synthetic import synthetic_source
from data.synthetic_mark import shows_synthetic
from data.targets import refuse_inside

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Limits of one file, which is one Spark task: small enough that two workers finish together and
#: that progress is visible, large enough that the overhead of starting tasks is negligible.
FILE_ROWS = 768
FILE_BYTES = 64 * 2**20
#: Minimum number of images for which the search for copies uses Spark.
SPARK_FROM_IMAGES = 2_000

_CHUNK_COLUMNS = ["image_id", "path", "label", "class_name", "patient_id", "group", "split"]


@dataclass(frozen=True)
class _Plan:
    """All decisions made before any pixel is decoded."""

    index: Index
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    manifest: SplitManifest
    #: Rows in their final order, with ``label`` and ``split``.
    rows: pa.Table
    synthetic: bool
    #: Unit of a group.
    unit: Unit
    #: Measures by which copies were found; None if patients are known.
    measured: pa.Table | None


def prepare(
    config: DataConfig,
    output: str,
    *,
    spark: "SparkSession | None" = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    drawings: str | Path | None = None,
) -> PreparedData:
    """Decode the images of ``config.source`` and write them with their split to ``output``.

    A finished data set with the same configuration and unchanged images is opened without decoding.
    After an interruption, or when images were added, removed or changed, only new images are
    decoded; known patients keep their side of the split.

    Parameters
    ----------
    config
        Source, layout, classes, image size and split.
    output
        Folder or URI; new, empty, or written by an earlier call.
    spark
        Session whose executors can import this package and access source and output. If None, a
        local session with ``workers`` threads is started and stopped at the end.
    workers
        Number of threads of the local session.
    progress
        Callback, called in this thread with the number of processed images and the total.
    drawings
        Folder in which synthetic cells are drawn; None draws them next to ``output``, which must
        then be a local folder.

    Raises
    ------
    DataError
        If source or output cannot be used, too many images are unreadable or the disk is full.
        ``output`` then contains no new data set.
    """
    folder = OutputFolder(output)
    folder.check()
    refuse_inside(folder.uri, config.source)
    source, index = _read_source(config, folder, drawings)
    digest = inputs_digest(index, config)
    if folder.is_finished() and folder.holds(config, digest):
        return open_prepared(output)
    with contextlib.ExitStack() as stack:
        if spark is None and index.unit == "image" and index.table.num_rows >= SPARK_FROM_IMAGES:
            # Images are read twice, first to find copies; both passes share this session.
            stack.enter_context(local_context(workers, "ingest"))
        plan = _plan(source, index, folder, spark, workers, progress)
        folder.start(keep_images=True)
        try:
            _write(plan, config, folder, digest, spark, workers, progress)
        except Exception:
            folder.clear()
            raise
    # After an interrupt, the folder stays marked as unfinished and the next call resumes it.
    return open_prepared(output)


def _write(
    plan: _Plan,
    config: DataConfig,
    folder: OutputFolder,
    digest: str,
    spark: "SparkSession | None",
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decode the images of ``plan`` into ``folder`` and complete the data set."""
    if plan.measured is not None:
        folder.keep_measures(plan.measured)
    chunks = [*_cut_into_chunks(plan, config, folder.uri)]
    results = run_tasks(
        write_chunk,
        chunks,
        sizes=[chunk.images for chunk in chunks],
        spark=spark,
        workers=workers,
        progress=progress,
    )
    rejects = _judge(plan, config, chunks, results)
    duplicates = find_duplicates(folder.uri, [r.name for r in results if r.rows])
    remarks = Remarks.together(result.remarks for result in results)
    more = (*remarks.notes(), *duplicates.notes(plan.index.unit))
    plan = replace(plan, notes=(*plan.notes, *more))
    folder.finish(plan.manifest, rejects, _summary(plan, config, digest, results, rejects))


def _read_source(
    config: DataConfig, folder: OutputFolder, drawings: str | Path | None
) -> tuple[DataConfig, Index]:
    """Return the configuration with ``synthetic`` replaced by a folder, and the source's index."""
    if config.source == "synthetic":
        if drawings is None and not folder.is_local:
            raise DataError(
                f"{folder.uri}: synthetic cells can be drawn only next to a folder on disk; "
                "draw them there, copy them and use the copy as the source"
            )
        neighbor = Path(drawings) / "cells" if drawings else folder.root
        drawn = str(synthetic_source(neighbor))
        config = config.model_copy(update={"source": drawn, "layout": "c-nmc"})
    return config, read_index(config)


def _plan(
    config: DataConfig,
    index: Index,
    folder: OutputFolder,
    spark: "SparkSession | None",
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> _Plan:
    before = folder.manifest()
    division = divide(
        index,
        config,
        before=before,
        known=folder.measures(),
        spark=spark,
        workers=workers,
        progress=progress,
    )
    table, manifest, unit = division.table, division.manifest, division.unit
    spellings = notes_on_spelling(table, index.unit)
    notes = (*index.notes, *division.notes, *spellings, *_note_on_split(manifest, before, unit))
    return _Plan(
        index,
        division.class_names,
        (*notes, *_note_on_rules(folder)),
        manifest,
        thin_training(order_rows(table, manifest, config.split.seed), config.split.train_images),
        shows_synthetic(index),
        unit,
        division.measured,
    )


def _note_on_rules(folder: OutputFolder) -> list[str]:
    if folder.decoding_rules() in (None, DECODING_RULES):
        return []
    return [
        "All images were decoded again, because the decoding rules have changed since the data set "
        "was made."
    ]


def _note_on_split(manifest: SplitManifest, before: SplitManifest | None, unit: Unit) -> list[str]:
    if before is None:
        return []
    new = len(manifest.assignments.keys() - before.assignments.keys())
    kept = len(manifest.assignments) - new
    return [
        f"{kept} {unit}s kept their previous side of the split; {new} new ones were added. Prepare "
        "into a new folder to draw the whole split again."
    ]


def _cut_into_chunks(plan: _Plan, config: DataConfig, output: str) -> Iterator[Chunk]:
    """Yield one chunk for each file; files of the same split have nearly equal numbers of rows."""
    size = ImageSize(config.image.height, config.image.width, config.image.color)
    made_by = recipe(size, config.damaged, holds_dicom=plan.index.holds_dicom)
    limit = max(1, min(FILE_ROWS, FILE_BYTES // size.bytes))
    sized = plan.rows.select(_CHUNK_COLUMNS).append_column(
        "source_bytes", plan.index.bytes_of(plan.rows.column("path"))
    )
    placed = with_places(sized, output, made_by)
    for split in SPLITS:
        table = placed.filter(pc.equal(placed.column("split"), split))
        files = math.ceil(table.num_rows / limit)
        borders = [table.num_rows * number // files for number in range(files + 1)]
        for number, (first, last) in enumerate(itertools.pairwise(borders)):
            rows = table.slice(first, last - first)
            yield Chunk(
                source=plan.index.root,
                output=output,
                name=chunk_name(split, number, rows.drop_columns(PLACE_SCHEMA.names), made_by),
                size=size,
                damaged=config.damaged,
                recipe=made_by,
                images=rows.num_rows,
                rows=pack_rows(rows),
            )


def _judge(
    plan: _Plan, config: DataConfig, chunks: Sequence[Chunk], results: Sequence[ChunkResult]
) -> pa.Table:
    """Return all rejects; raise DataError if the written files do not form a valid data set."""
    output = chunks[0].output
    for result in results:
        if result.failure is not None:
            raise write_error(output, result.failure)
    unreadable = [(*reject, UNREADABLE) for result in results for reject in result.rejects]
    reasons = "; ".join(f"{path}: {reason}" for path, reason, _ in unreadable[:3])
    images = plan.rows.num_rows
    if len(unreadable) == images:
        raise DataError(f"{config.source}: none of {images} images can be read ({reasons})")
    # `data.rejects` explains why only this kind counts.
    if len(unreadable) > config.max_reject_share * images:
        damaged = sum(reason.startswith(DAMAGED) for _, reason, _ in unreadable)
        advice = f"; {damaged} are damaged: --damaged accept uses those that can be repaired"
        raise DataError(
            f"{config.source}: {len(unreadable)} of {images} images cannot be read, more than the "
            f"fraction {config.max_reject_share} that --max-reject-share allows ({reasons})"
            + (advice if damaged and config.damaged == "reject" else "")
        )
    _check_classes(plan, results)
    return pa.concat_tables([table_of([*unreadable, *_set_aside(plan)]), plan.index.rejects])


def _set_aside(plan: _Plan) -> Iterator[tuple[str, str, str]]:
    """Yield the images that the layout found but the configuration excludes."""
    found = plan.index.table.select(["path", "class_name"])
    taken = pc.is_in(found.column("path"), plan.rows.column("path"))
    classes = {*found.filter(taken).column("class_name").to_pylist()}
    for row in found.filter(pc.invert(taken)).to_pylist():
        reason = "train_images limits the number of training images"
        if row["class_name"] not in classes:
            reason = f"its class {row['class_name']} was not selected"
        yield row["path"], reason, SET_ASIDE


def _check_classes(plan: _Plan, results: Sequence[ChunkResult]) -> None:
    """Refuse a split that has lost all images of a class, because scores would be undefined."""
    labels: dict[str, set[int]] = {split: set() for split in SPLITS}
    for result in results:
        labels[_split_of(result)] |= result.labels
    for split in SPLITS:
        for label, name in enumerate(plan.class_names):
            if label not in labels[split]:
                raise DataError(
                    f"{plan.index.root}: no image of class '{name}' in the split '{split}' can be "
                    "read; repair the files or choose another --split-seed"
                )


def _split_of(result: ChunkResult) -> str:
    return result.name.partition("-")[0]


def _summary(
    plan: _Plan,
    config: DataConfig,
    digest: str,
    results: Sequence[ChunkResult],
    rejects: pa.Table,
) -> Summary:
    fingerprint = hashlib.sha256()
    files: dict[str, list[FilePart]] = {split: [] for split in SPLITS}
    for result in results:
        for row in result.digests:
            fingerprint.update(row)
        if result.rows:
            files[_split_of(result)].append(FilePart(name=result.name, rows=result.rows))
    return Summary(
        fingerprint=fingerprint.hexdigest(),
        split_checksum=plan.manifest.checksum,
        class_names=plan.class_names,
        image_shape=config.image.shape,
        synthetic=plan.synthetic,
        source=config.source,
        layout=plan.index.layout,
        unit=plan.unit,
        reading=plan.index.reading,
        files={split: tuple(parts) for split, parts in files.items()},
        rejects=of_kinds(rejects, LOST).num_rows,
        reject_kinds=count_kinds(rejects),
        decoding_rules=DECODING_RULES,
        notes=plan.notes,
        config=config.model_dump(mode="json"),
        inputs_digest=digest,
    )
