"""Bulk scoring beside the ingest, and classification in SQL beside MLflow's function for Spark.

With ``data``, a folder of malaria cells is measured, at 50 x 50 in grayscale; without it, 10,000
synthetic cells. The network is an untrained ``small_cnn``, as its weights do not affect its speed.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.harness import cells
from benchmarks.side_by_side import alternate, in_own_process, ratio
from data.config import DataConfig, ImageConfig

_PATIENTS = 200


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield ratios of images per second."""
    config = (
        DataConfig(source=data, image=ImageConfig(height=50, width=50, color="grey"))
        if data
        else cells(folder, _PATIENTS)
    )
    request = {"config": config.model_dump(mode="json"), "folder": str(folder)}
    _run("model", request, folder / "prepared")

    def rate(way: str, number: int) -> float:
        return _run(way, request, folder / f"{way}-{number}")["images_per_s"]

    rates = alternate(("ingest", "bulk"), repeats, rate)
    # Synthetic cells are BMP files, which are decoded much faster than the network computes.
    target = 0.5 if data else None
    yield ratio("bulk scoring from files / whole ingest", rates, "bulk", "ingest", target)
    # MLflow's function opens the model in each task, and Spark divides files into many tasks. In
    # the two large tasks of the table, both functions mostly run the same code of the model.
    for table, described, target in (
        ("files", "Spark's binaryFile", 3.0),
        ("rows", "a Parquet table", None),
    ):
        own, mlflow = f"classify-{table}", f"mlflow-{table}"
        rates = alternate((own, mlflow), repeats, rate)
        name = f"classify in SQL / MLflow's spark_udf, {described}"
        yield ratio(name, rates, own, mlflow, target)


def _run(way: str, request: Mapping[str, object], output: Path) -> dict[str, float]:
    """Measure one way in a separate process."""
    return in_own_process(
        "benchmarks.scoring_ways",
        way,
        json.dumps(request),
        str(output),
        environment={"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
