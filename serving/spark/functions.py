"""Functions for SQL and DataFrames that classify the images in a column."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.config import ImageConfig
from data.spark_job import spare_next_task
from data.worker_python import check_workers
from serving.classifier import Classifier
from serving.errors import ServingError
from serving.spark.columns import pixels_of_cell, pixels_of_cells
from serving.spark.outcomes import Outcomes, classify_each
from serving.spark.shipped import ModelFiles, ShippedClassifier

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, SparkSession

#: Type of the result of the functions.
RESULT_TYPE = (
    "struct<class: string, decision: string, probabilities: map<string, double>, error: string>"
)
#: Bytes of pixels that Spark sends to a Python worker at once, and limits of the number of rows in
#: which it counts them: by default it sends 10,000, which is a gigabyte for images of 100 kB. Small
#: batches take longer, because Spark and Python wait for each other after each one.
BATCH_BYTES = 16 * 2**20
MOST_ROWS, FEWEST_ROWS = 1_000, 64
_ROWS_PER_BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"
#: Number of columns of prepared data that describe one image.
_PREPARED = 4


def register_udf(
    spark: "SparkSession", name: str, model: str | Path | Classifier
) -> "Callable[..., Column]":
    """Register a function for SQL that classifies images, and return it for DataFrames.

    The function accepts one column with the contents of image files, as in Spark's source
    ``binaryFile``, with paths, or with pixels of prepared data in the size of the model; or the
    four columns ``pixels``, ``height``, ``width`` and ``channels`` of prepared data of any size. It
    returns a struct with the fields ``class`` (the most probable class), ``decision`` (the class at
    the decision threshold), ``probabilities`` (class -> probability) and ``error``. For a null or
    an image that cannot be read, ``error`` contains the reason and the other fields are null; for
    all other images ``error`` is null.

    Parameters
    ----------
    spark
        Session in which the function is registered. Its setting
        ``spark.sql.execution.arrow.maxRecordsPerBatch`` is reduced to `rows_per_batch`, because
        Spark counts batches in rows, and images are large.
    name
        Name of the function in SQL.
    model
        Folder of a model, name of a registered model, or classifier. Executors receive its files
        from the driver and open it once in each Python worker.

    Returns
    -------
    callable
        Function from columns, or names of columns, to a column.

    Notes
    -----
    Spark assigns only about 32 small files of ``binaryFile`` to a task, and each task takes some
    time to start. With ``spark.sql.files.openCostInBytes`` set to 65536, it assigns up to 2,000.

    Raises
    ------
    ServingError
        If the model cannot be used, or the session is not a session of Spark itself.
    DataError
        If the workers of a session on this machine run a Python without the needed packages.

    Examples
    --------
    >>> serving.register_udf(spark, "classify", "malaria-keras_local")  # doctest: +SKIP
    >>> images = spark.read.format("binaryFile").load("cells/")  # doctest: +SKIP
    >>> images.createOrReplaceTempView("cells")  # doctest: +SKIP
    >>> spark.sql("SELECT path, classify(content).class FROM cells").show()  # doctest: +SKIP
    """
    function = classify_udf(spark, model)
    registered: Callable[..., Column] = spark.udf.register(name, function)
    return registered


def classify_udf(spark: "SparkSession", model: str | Path | Classifier) -> "Callable[..., Column]":
    """Return the function of `register_udf` without registering a name for it.

    Parameters
    ----------
    spark, model
        As for `register_udf`.

    Raises
    ------
    ServingError, DataError
        As for `register_udf`.
    """
    import pandas as pd
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    if not isinstance(spark, SparkSession):
        raise ServingError(
            "this is not a session of Spark itself (Spark Connect cannot send a model to "
            "executors): create the session with SparkSession.builder.master(…)"
        )
    check_workers(spark.sparkContext)
    files = ModelFiles.read(model)
    shipped = ShippedClassifier.ship(spark.sparkContext, files)
    _bound_batches(spark, rows_per_batch(files.card.image))

    def classify(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.DataFrame]:
        classifier = shipped.open()
        for columns in batches:
            # PySpark passes a single column without a tuple.
            yield results(classifier, columns if isinstance(columns, tuple) else (columns,))
        spare_next_task()

    udf: Callable[..., Column] = pandas_udf(classify, RESULT_TYPE)
    return udf


def results(classifier: Classifier, columns: "tuple[pd.Series, ...]") -> "pd.DataFrame":
    """Return the results for a batch, with the columns of `RESULT_TYPE`.

    Parameters
    ----------
    classifier
        The classifier.
    columns
        One column of images, or the four columns of prepared data.

    Raises
    ------
    ServingError
        If there are other columns.
    """
    image = classifier.card.image
    if len(columns) not in (1, _PREPARED) or any(column.ndim != 1 for column in columns):
        raise ServingError(
            "this function takes one column of images (content, path or pixels), or the columns "
            "pixels, height, width and channels of prepared data"
        )
    if len(columns) == 1:
        to_pixels = partial(pixels_of_cell, image=image)
        return _frame(classifier, classify_each(classifier, columns[0].array, to_pixels))
    rows = zip(*columns, strict=True)
    outcomes = classify_each(classifier, rows, lambda row: pixels_of_cells(row, image))
    return _frame(classifier, outcomes)


def _frame(classifier: Classifier, found: Outcomes) -> "pd.DataFrame":
    import pandas as pd

    names = classifier.card.class_names
    named: list[str | None] = [*names, None]  # -1 is the index of None
    columns: dict[str, list[Any]] = {
        "class": [named[index] for index in found.classes],
        "decision": [named[index] for index in found.decisions],
        "probabilities": [
            dict(zip(names, row, strict=True)) if error is None else None
            for row, error in zip(found.probabilities.tolist(), found.errors, strict=True)
        ],
        "error": found.errors,
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def rows_per_batch(image: ImageConfig) -> int:
    """Return the number of prepared images that Spark sends to a Python worker at once."""
    return min(MOST_ROWS, max(FEWEST_ROWS, BATCH_BYTES // math.prod(image.shape)))


def _bound_batches(spark: "SparkSession", rows: int) -> None:
    """Reduce the size of the session's batches; a smaller one is kept."""
    current = int(spark.conf.get(_ROWS_PER_BATCH))
    if not 0 < current <= rows:
        spark.conf.set(_ROWS_PER_BATCH, str(rows))
