"""Bulk scoring: many images are read and classified by Spark's executors, one row for each.

The images are divided into parts, each of which is one Spark task and one Parquet file. A file gets
its name only when it is complete, so the same call continues after an interruption and gives the
same table.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from data.chunks import ImageSize, recipe
from data.dicom import is_available
from data.errors import SparkdlError
from data.failures import job_failure
from data.output import write_error
from data.spark_job import run_tasks
from serving.classifier import Classifier
from serving.errors import ServingError
from serving.spark.inputs import PATH, Inputs
from serving.spark.output import Request, ScoringFolder
from serving.spark.parts import Part, part_name, part_schema, write_part
from serving.spark.session import EMBEDDED, scoring_context
from serving.spark.shipped import ModelFiles, ShippedClassifier

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Limits of one part: small enough that little is lost at an interruption, that progress is visible
#: and that workers finish together; large enough that starting tasks takes little of the time.
PART_ROWS = 512
PART_BYTES = 128 * 2**20
#: Number of parts to which small requests are divided, so that all workers take part.
_FEWEST_PARTS = 16
_SMALLEST_PART = 32


def score(
    images: Sequence[str | Path] | pa.Table,
    model: str | Path | Classifier,
    output: str | Path,
    *,
    master: str = EMBEDDED,
    workers: int = 2,
    archive: str | None = None,
    spark: "SparkSession | None" = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Classify many image files in Spark's executors.

    The result is also written to ``predictions.parquet`` in ``output``. After an interruption, the
    same call continues and gives the same table; after it has finished, the table is read.

    Parameters
    ----------
    images
        Paths and ``s3://`` addresses, or a table with a column ``path``. All other columns of the
        table, such as ``patient_id`` and ``label``, are passed through, except ``source_bytes``
        with the sizes of the files, which saves a look at each of them. All workers must be able
        to access the files.
    model
        Folder of a model, name of a model as for `serving.find.find_model`, or classifier.
    output
        Folder or ``s3://`` address that all workers can write; new, empty, or of the same request.
    master
        ``embedded`` for Spark on this machine, or the URL of a Spark master.
    workers
        Number of workers, each with one core.
    archive
        Packed environment for the workers of a cluster, as for
        `serving.spark.session.scoring_context`.
    spark
        Session to be used in place of ``master``.
    on_progress
        Callback, called in this thread with the number of processed images and the total.

    Returns
    -------
    pyarrow.Table
        One row for each element of ``images``, in the same order: ``path``, ``class`` (most
        probable class), ``decision`` (class at the decision threshold), ``probability_<class>`` for
        each class, ``error`` (reason why the image could not be classified, else null), and the
        columns that are passed through.

    Raises
    ------
    SparkdlError
        If the images, the model, the folder or the cluster cannot be used.
    """
    inputs, files = Inputs.of(images), ModelFiles.read(model)
    folder, schema = ScoringFolder(output), part_schema(files.card)
    if taken := {PATH, *schema.names} & {*inputs.passed.column_names}:
        raise ServingError(
            f"the table of images has a column {min(taken)}, as the predictions have: rename it"
        )
    request = _request(inputs, files)
    folder.start(request)
    if (finished := folder.table(request)) is not None:
        return finished
    parts = _divide(inputs, folder.parts, request)
    with ExitStack() as stack:
        if spark is None:
            context = stack.enter_context(scoring_context(master, workers, archive))
        else:
            context = spark.sparkContext
        shipped = ShippedClassifier.ship(context, files)
        stack.callback(shipped.content.destroy)
        _run(parts, shipped, spark, workers, on_progress)
    found = pa.concat_tables(folder.read_parts([part.name for part in parts]))
    table = pa.table(
        [inputs.names, *found.columns, *inputs.passed.columns],
        names=[PATH, *found.column_names, *inputs.passed.column_names],
    )
    folder.finish(table, request)
    return table


def _request(inputs: Inputs, files: ModelFiles) -> Request:
    image = files.card.image
    size = ImageSize(image.height, image.width, image.color)
    return Request(
        images=len(inputs),
        inputs=inputs.digest(),
        model=files.digest,
        decoders=recipe(size, "reject", holds_dicom=is_available()),
    )


def _divide(inputs: Inputs, folder: str, request: Request) -> list[Part]:
    """Return parts of nearly equal numbers of images; they do not depend on the workers."""
    images, key = len(inputs), request.model_dump_json()
    rows = min(PART_ROWS, max(_SMALLEST_PART, math.ceil(images / _FEWEST_PARTS)))
    by_bytes = min(images, math.ceil(inputs.total_bytes() / PART_BYTES))
    count = max(math.ceil(images / rows), by_bytes)
    borders = [images * number // count for number in range(count + 1)]
    parts = []
    for number, (first, last) in enumerate(itertools.pairwise(borders)):
        addresses = tuple(inputs.addresses[first:last])
        parts.append(Part(folder, part_name(number, addresses, key), addresses))
    return parts


def _run(
    parts: list[Part],
    model: ShippedClassifier,
    spark: "SparkSession | None",
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Write all parts; raise an error in one line if Spark or a write fails."""
    try:
        results = run_tasks(
            partial(write_part, model=model),
            parts,
            sizes=[len(part.addresses) for part in parts],
            spark=spark,
            workers=workers,
            progress=on_progress,
            name="predict",
        )
    except SparkdlError:
        raise
    except Exception as error:
        raise ServingError(f"the images were not all classified: {job_failure(error)}") from error
    for result in results:
        if result.failure is not None:
            raise write_error(parts[0].folder, result.failure)
        if result.outage is not None:
            raise ServingError(f"{result.outage}; repeat the command to continue")
