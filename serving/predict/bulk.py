"""Classification of many files on Spark."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from data.storage import absolute
from models.card import CARD, ModelCard
from serving.errors import ServingError
from serving.predict.images import Images
from serving.predict.results import Results, column_of

if TYPE_CHECKING:
    from serving.find import FoundModel

#: Folder of unfinished results below the working folder.
_FOLDER = "scores"


def classify(
    model: "FoundModel",
    images: Images,
    *,
    work: Path,
    master: str,
    workers: int,
    on_progress: Callable[[int, int], None],
    archive: str | None = None,
) -> Results:
    """Return the results for ``images``, computed by Spark's executors.

    What was classified before an interruption is kept below ``work`` and not repeated by the next
    command with the same model and images; it is removed when all images are classified.

    Parameters
    ----------
    model, images
        Model and images.
    work
        Folder for unfinished results.
    master
        Spark URL, or ``embedded``.
    workers
        Number of executors of one core.
    on_progress
        Called with the number of processed images and the total.
    archive
        Packed environment that a cluster's executors run from; None uses the path of this Python.
    """
    from serving.spark import bulk

    card = ModelCard.read(model.folder)
    places = [absolute(path) for path in images.paths]
    table = pa.table(
        {
            "path": pa.array(places, pa.string()),
            "patient_id": images.table.column("patient_id"),
            "label": images.table.column("class_name"),
        }
    )
    folder = work / _FOLDER / _digest(model.folder, places)
    found = bulk.score(
        table,
        model.folder,
        folder,
        master=master,
        workers=workers,
        archive=archive,
        on_progress=on_progress,
    )
    results = _results(images, card, places, found)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the results of another command are in it
        folder.parent.rmdir()
    return results


def _digest(folder: Path, places: list[str]) -> str:
    digest = hashlib.sha256((folder / CARD).read_bytes())
    for place in places:
        digest.update(f"{place}\0".encode())
    return digest.hexdigest()[:16]


def _results(images: Images, card: ModelCard, places: list[str], found: pa.Table) -> Results:
    """Return the rows of ``found``, which has one row for each of ``places`` in the same order.

    Raises
    ------
    ServingError
        If the rows are not those of ``places``.
    """
    if found.column("path").to_pylist() != places:
        raise ServingError(
            f"Spark returned {found.num_rows:,} rows for {len(places):,} images: delete the folder "
            "of unfinished results and repeat the command"
        )
    columns = [
        found.column(column_of(name)).cast(pa.float32()).to_numpy(zero_copy_only=False)
        for name in card.class_names
    ]
    errors = dict(enumerate(found.column("error").to_pylist()))
    return Results(
        images,
        card,
        np.stack(columns, axis=1).astype(np.float32),
        {row: reason for row, reason in errors.items() if reason},
    )
