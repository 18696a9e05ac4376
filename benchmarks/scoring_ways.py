"""Ways to classify images: ``python -m benchmarks.scoring_ways WAY REQUEST OUTPUT``.

``model``
    No measurement: prepares the images, makes an untrained model and a Parquet table of the files.
``ingest``
    This project's ingest of the images.
``bulk``
    This project's bulk scoring of the same files.
``classify-files``, ``classify-rows``
    This project's function in SQL, on Spark's source ``binaryFile`` and on the Parquet table.
``mlflow-files``, ``mlflow-rows``
    The function that ``mlflow.pyfunc.spark_udf`` makes of the same model, on the same tables.

The clock starts when Spark runs and each Python worker has done a first piece of the work. The last
line printed is JSON.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import ingesting
from benchmarks.ingesting import WORKERS
from data import ingest
from data.config import DataConfig
from data.layouts import read_index
from data.local_spark import local_context
from data.prepared import open_prepared

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Number of files that are read by ``binaryFile``: MLflow's function takes seconds for each task of
#: 32 files.
_FILES = 2_048
#: Images for the first piece of work of each Python worker.
_FIRST = 64


def make_model(config: DataConfig, folder: Path, output: str) -> dict[str, float]:
    """Prepare the images to ``output``, and write a model and a table to ``folder``."""
    from experiments.runs import saving
    from experiments.tracking.model import save_model
    from models import ModelConfig, NetworkSpec
    from models.card import DataOrigin, ModelCard

    prepared = ingest.prepare(config, output)
    network = folder / "network"
    network.mkdir()
    spec = NetworkSpec(ModelConfig(), prepared.image_shape, len(prepared.class_names))
    saving.save(spec.build(seed=0), prepared, network)
    summary = prepared.summary
    card = ModelCard(
        name="benchmark",
        class_names=prepared.class_names,
        positive_class=prepared.class_names[0],
        image=config.image,
        data=DataOrigin(
            name=summary.layout,
            fingerprint=summary.fingerprint,
            split_checksum=summary.split_checksum,
            synthetic=summary.synthetic,
            unit=summary.unit,
            parts={},
        ),
        backend="keras_local",
        network="small_cnn",
        seed=0,
        epochs=0,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        engine_difference=saving.Engines.read(network).difference,
    )
    save_model(network, card, folder / "model")
    with local_context(WORKERS, "benchmark") as context:
        table = _files(_session(context), _paths(config)).select("path", "content")
        table.repartition(WORKERS).write.parquet(str(folder / "rows"))
    return {}


def by_ingest(config: DataConfig, folder: Path, output: str) -> dict[str, float]:
    """Measure the whole ingest."""
    return {"images_per_s": ingesting.by_prepare(config, output)["images_per_s"]}


def by_bulk(config: DataConfig, folder: Path, output: str) -> dict[str, float]:
    """Measure the whole bulk scoring."""
    from serving.spark.bulk import score

    paths = _paths(config)
    with local_context(WORKERS, "benchmark"):
        score(paths[: _FIRST * WORKERS], folder / "model", f"{output}-first")
        began = time.perf_counter()
        table = score(paths, folder / "model", output)
        seconds = time.perf_counter() - began
    if table.num_rows != len(paths) or table["error"].null_count != len(paths):
        raise RuntimeError("not all images were classified")
    return {"images_per_s": len(paths) / seconds}


def by_classify(table: str, config: DataConfig, folder: Path, output: str) -> dict[str, float]:
    """Measure this project's function in SQL."""
    import serving

    def register(session: "SparkSession") -> None:
        serving.register_udf(session, "classify", folder / "model")

    return _in_sql(register, table, config, folder)


def by_mlflow(table: str, config: DataConfig, folder: Path, output: str) -> dict[str, float]:
    """Measure MLflow's function in SQL, with the same columns as results."""
    import mlflow

    names = open_prepared(folder / "prepared").class_names
    columns = ["class string", "decision string", *(f"probability_{n} double" for n in names)]

    def register(session: "SparkSession") -> None:
        function = mlflow.pyfunc.spark_udf(
            session, str(folder / "model"), result_type=", ".join(columns), env_manager="local"
        )
        session.udf.register("classify", function)

    return _in_sql(register, table, config, folder)


def _in_sql(
    register: "Callable[[SparkSession], None]", table: str, config: DataConfig, folder: Path
) -> dict[str, float]:
    with local_context(WORKERS, "benchmark") as context:
        session = _session(context)
        if table == "files":
            paths = _paths(config)
            frame = _files(session, paths[:: math.ceil(len(paths) / _FILES)])
        else:
            frame = session.read.parquet(str(folder / "rows"))
        frame.createOrReplaceTempView("cells")
        frame.limit(_FIRST * WORKERS).repartition(WORKERS).createOrReplaceTempView("first")
        register(session)
        query = "SELECT count(found.class) FROM (SELECT classify(content) AS found FROM {})"
        session.sql(query.format("first")).collect()
        began = time.perf_counter()
        images = session.sql(query.format("cells")).first()[0]
        seconds = time.perf_counter() - began
    return {"images_per_s": images / seconds}


def _session(context: Any) -> "SparkSession":
    from pyspark.sql import SparkSession

    return SparkSession(context)


def _files(session: "SparkSession", paths: list[str]) -> "DataFrame":
    return session.read.format("binaryFile").load([Path(path).as_uri() for path in paths])


def _paths(config: DataConfig) -> list[str]:
    index = read_index(config)
    root = Path(index.root).absolute()
    return [f"{root}/{path}" for path in index.table.column("path").to_pylist()]


WAYS: dict[str, Callable[[DataConfig, Path, str], dict[str, float]]] = {
    "model": make_model,
    "ingest": by_ingest,
    "bulk": by_bulk,
    "classify-files": partial(by_classify, "files"),
    "classify-rows": partial(by_classify, "rows"),
    "mlflow-files": partial(by_mlflow, "files"),
    "mlflow-rows": partial(by_mlflow, "rows"),
}


def main(way: str, request: str, output: str) -> None:
    """Measure one way and print its figures as JSON."""
    content = json.loads(request)
    config = DataConfig.model_validate(content["config"])
    print(json.dumps(WAYS[way](config, Path(content["folder"]), output)))


if __name__ == "__main__":
    main(*sys.argv[1:])
