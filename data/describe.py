"""Counts of images and patients in a source or a prepared data set, to review before training."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from data.chunks import read_image
from data.config import DataConfig, Unit
from data.description import Counts, Description
from data.division import Division
from data.errors import DataError
from data.images import UnreadableImage, decode_at_own_size
from data.layouts import Index, c_nmc, malaria, read_index
from data.oddities import oddities
from data.prepared import DATASET_FILE, REJECTS_FILE, Summary, open_prepared
from data.rejects import with_kinds
from data.schema import SPLITS
from data.shards import pixels_of
from data.spellings import notes_on_spelling
from data.storage import exists, locate
from data.synthetic_mark import shows_synthetic

#: Name of the row with the totals over all classes.
ALL_CLASSES = "all classes"

#: Layouts in which several images (cells) were cut from one photograph, identified by their names.
_PHOTOGRAPH_OF: dict[str, Callable[[str], str]] = {
    "c-nmc": c_nmc.photograph_of,
    "malaria": malaria.photograph_of,
}


def describe(config: DataConfig) -> Description:
    """Count the images of ``config.source``: a folder in any layout, or a prepared data set.

    Raises
    ------
    DataError
        If the source is neither.
    """
    filesystem, root = locate(config.source)
    if exists(filesystem, f"{root}/{DATASET_FILE}"):
        return _describe_prepared(config.source)
    index = read_index(config)
    class_names = sorted(set(index.table.column("class_name").to_pylist()))
    return _describe_index(index, index.table, class_names, index.notes, {})


def sample_images(description: Description, per_class: int = 8) -> dict[str, list[np.ndarray]]:
    """Return sample images of each class, from different patients where there are enough.

    Returns
    -------
    dict
        Mapping from class name to a list of uint8 arrays, shape (height, width, 3) or
        (height, width).
    """
    chosen = {
        counts.class_name: choose(description.table, counts.class_name, per_class)
        for counts in description.classes
    }
    if description.prepared:
        return _prepared_pixels(description.source, chosen)
    return {
        name: [_decode(description.source, path) for path in rows.column("path").to_pylist()]
        for name, rows in chosen.items()
    }


def describe_split(index: Index, division: Division) -> Description:
    """Count the images of an index by side of the split, before ingest.

    Parameters
    ----------
    index
        Index of the source.
    division
        Result of `data.division.divide` for ``index``.
    """
    table, notes = division.table, (*index.notes, *division.notes)
    groups = table.column("group").to_pylist()
    sides = np.array([division.manifest.assignments[group] for group in groups], object)
    parts = {split: table.filter(pa.array(sides == split)) for split in SPLITS}
    return _describe_index(index, table, division.class_names, notes, parts)


def _describe_index(
    index: Index,
    table: pa.Table,
    class_names: Sequence[str],
    notes: Sequence[str],
    parts: Mapping[str, pa.Table],
) -> Description:
    return Description(
        source=index.root,
        layout=index.layout,
        synthetic=shows_synthetic(index),
        prepared=False,
        unit=index.unit,
        classes=_count_classes(table, class_names, index.layout),
        total=_count(table, ALL_CLASSES, index.layout),
        splits=_count_splits(parts, class_names, index.layout),
        rejects=index.rejects,
        notes=(*notes, *notes_on_spelling(table, index.unit), *oddities(index)),
        table=table,
        reading=index.reading,
    )


def _describe_prepared(uri: str) -> Description:
    data = open_prepared(uri)
    layout = data.summary.layout
    parts = {split: data.index(split) for split in SPLITS if data.rows(split)}
    table = pa.concat_tables(parts.values())
    filesystem, rejects = _below(uri, REJECTS_FILE)
    return Description(
        source=data.uri,
        layout=layout,
        synthetic=data.summary.synthetic,
        prepared=True,
        unit=_unit(data.summary, table),
        classes=_count_classes(table, data.class_names, layout),
        total=_count(table, ALL_CLASSES, layout),
        splits=_count_splits(parts, data.class_names, layout),
        rejects=with_kinds(pq.read_table(rejects, filesystem=filesystem)),
        notes=data.summary.notes,
        table=table,
        reading=data.summary.reading,
    )


def _unit(summary: Summary, table: pa.Table) -> Unit:
    """Return the unit that ``patient_id`` identifies in a prepared data set.

    A deliberate split by image keeps the patients of the source in this column.
    """
    if summary.layout == "ham10000":
        return "lesion"  # earlier versions did not record it
    if summary.unit == "image" and not table.column("group").equals(table.column("patient_id")):
        return "patient"
    return summary.unit


def _below(uri: str, name: str) -> tuple[fs.FileSystem, str]:
    filesystem, root = locate(uri)
    return filesystem, f"{root}/{name}"


def _count_classes(table: pa.Table, class_names: Sequence[str], layout: str) -> tuple[Counts, ...]:
    column = np.array(table.column("class_name").to_pylist(), object)
    return tuple(
        _count(table.filter(pa.array(column == name)), name, layout) for name in class_names
    )


def _count_splits(
    parts: Mapping[str, pa.Table], class_names: Sequence[str], layout: str
) -> dict[str, tuple[Counts, ...]]:
    return {
        split: (*_count_classes(part, class_names, layout), _count(part, ALL_CLASSES, layout))
        for split, part in parts.items()
    }


def _count(table: pa.Table, name: str, layout: str) -> Counts:
    patients = Counter(table.column("patient_id").to_pylist())
    photograph_of = _PHOTOGRAPH_OF.get(layout)
    photographs = None
    if photograph_of is not None:
        photographs = len({photograph_of(image) for image in table.column("image_id").to_pylist()})
    return Counts(
        class_name=name,
        images=table.num_rows,
        patients=len(patients),
        photographs=photographs,
        images_per_patient=tuple(patients[patient] for patient in sorted(patients)),
    )


def choose(table: pa.Table, class_name: str, number: int) -> pa.Table:
    """Return ``number`` rows of a class: the first images of patients spaced evenly by name.

    If there are fewer patients than ``number``, images are taken from each patient in turn.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    columns = (table.column(name).to_pylist() for name in ("class_name", "patient_id"))
    for row, (name, patient) in enumerate(zip(*columns, strict=True)):
        if name == class_name:
            rows_of[patient].append(row)
    patients = sorted(rows_of)
    turns = max(map(len, rows_of.values()), default=0)
    if len(patients) >= number:
        spread = np.linspace(0, len(patients) - 1, number).astype(int)
        return table.take([rows_of[patients[place]][0] for place in spread])
    in_turn = [
        rows_of[p][turn] for turn in range(turns) for p in patients if turn < len(rows_of[p])
    ]
    return table.take(pa.array(in_turn[:number], pa.int64()))


def _prepared_pixels(uri: str, chosen: dict[str, pa.Table]) -> dict[str, list[np.ndarray]]:
    data = open_prepared(uri)
    wanted = [name for rows in chosen.values() for name in rows.column("image_id").to_pylist()]
    images: dict[str, list[np.ndarray]] = {name: [] for name in chosen}
    for parts in data.summary.files.values():
        for part in parts:
            filesystem, path = _below(uri, part.name)
            table = pq.read_table(
                path,
                columns=["class_name", "pixels"],
                filters=[("image_id", "in", wanted)],
                filesystem=filesystem,
            )
            pixels = pixels_of(table.column("pixels"), data.image_shape)
            for name, image in zip(table.column("class_name").to_pylist(), pixels, strict=True):
                images[name].append(image.squeeze())
    return images


def _decode(root: str, path: str) -> np.ndarray:
    """Return the image as uint8; raise DataError with the path if it cannot be decoded."""
    filesystem, folder = locate(root)
    try:
        return decode_at_own_size(read_image(filesystem, folder, path))
    except UnreadableImage as error:
        raise DataError(f"{root}/{path} cannot be shown: {error.reason}") from None
