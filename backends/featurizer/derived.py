"""Prepared data sets whose images are features of a frozen backbone.

A derived data set has the rows, the order and the split of the original one, so every backend
trains a new last layer on it in the same way as a whole network on pixels.
"""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backends.featurizer.engine import backbone_of, choice_of
from backends.featurizer.features import loaded
from backends.featurizer.pixels import forward_batches
from backends.featurizer.programs import Program
from data.output import OutputFolder
from data.own_folders import temporary_folder
from data.prepared import PreparedData, Summary, open_prepared
from data.schema import IMAGE_SCHEMA, REJECT_SCHEMA
from data.spark_job import run_tasks
from data.storage import locate
from models.config import BackboneConfig

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Images per row group: with some thousand features each, a few megabytes.
_ROW_GROUP_ROWS = 512
_COMPRESSION = "lz4"


def features_key(data: PreparedData, config: BackboneConfig, seed: int) -> str:
    """Return a digest of everything that determines the features, without importing Keras.

    Raises
    ------
    OSError
        If the backbone's file cannot be read.
    """
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in config.files]
    paths = {"name", "caffemodel"} if config.is_file else {"caffemodel"}
    is_loaded = config.weights == "imagenet" or (config.is_file and not config.draws_weights)
    # The path of a file does not affect the features; weights that are not loaded depend on the
    # seed.
    decisive = {
        "backbone": config.model_dump(mode="json", exclude=paths),
        "content": " ".join(contents),
        "seed": None if is_loaded else seed,
        "data": data.summary.fingerprint,
        "split": data.summary.split_checksum,
        "keras": version("keras"),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def derive(
    data: PreparedData,
    config: BackboneConfig,
    output: str,
    *,
    seed: int,
    spark: "SparkSession | None" = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedData:
    """Compute the features of all images and write them as a data set to ``output``.

    If ``output`` contains a finished data set of the same features, it is opened unchanged.

    Parameters
    ----------
    data
        Prepared images.
    config
        The backbone.
    output
        Folder that is new, empty, or was written by an earlier call.
    seed
        Seed of the backbone's weights that are not loaded.
    spark
        Session whose executors share a disk with this process; by default a local one with
        ``workers`` threads is started, and stopped at the end.
    workers
        Number of threads of the local session.
    progress
        Called in this thread with the number of processed images and the total.

    Raises
    ------
    ModelError
        If the backbone cannot be loaded or does not accept these images.
    BackendError
        If no engine can run the backbone.
    DataError
        If ``output`` cannot be used.
    """
    key = features_key(data, config, seed)
    folder = OutputFolder(output)
    folder.check()
    if folder.is_finished():
        finished = open_prepared(output)
        if finished.summary.inputs_digest == key:
            return finished
    backbone = backbone_of(config, data.image_shape, seed)
    choice = choice_of(backbone, "auto")
    folder.start()
    started = perf_counter()
    try:
        with temporary_folder("features") as shared:
            program = shared / "program.pickle"
            program.write_bytes(pickle.dumps(choice.program))
            tasks = [
                _File(data.uri, folder.uri, part.name, program)
                for parts in data.summary.files.values()
                for part in parts
            ]
            rows = [part.rows for parts in data.summary.files.values() for part in parts]
            run_tasks(
                _featurize,
                tasks,
                sizes=rows,
                spark=spark,
                workers=workers,
                progress=progress,
            )
        seconds = perf_counter() - started
        note = (
            f"Pixels are replaced by features of {config.name} ({backbone.features} per image), "
            f"computed once by {choice.program.engine} in {choice.program.precision} in "
            f"{seconds:.1f} s."
        )
        changes = {
            "fingerprint": hashlib.sha256(f"{key}-{choice.program.key}".encode()).hexdigest(),
            "image_shape": (1, 1, backbone.features),
            "dtype": "float32",
            "features_s": seconds,
            "notes": (*data.summary.notes, *choice.notes, note),
            "inputs_digest": key,
        }
        summary = Summary(**{**data.summary.model_dump(), **changes})
        folder.finish(data.manifest, REJECT_SCHEMA.empty_table(), summary)
    except BaseException:
        folder.clear()
        raise
    return open_prepared(output)


@dataclass(frozen=True)
class _File:
    """Task that converts one Parquet file of images to one of features."""

    source: str
    output: str
    name: str
    #: Path of the pickled program, the same file for all tasks.
    program: Path


def _featurize(task: _File) -> None:
    """Write the rows of a file with features instead of pixels; runs in a Python worker."""
    program: Program = pickle.loads(task.program.read_bytes())
    forward = loaded(program.key, lambda: program)
    filesystem, root = locate(task.source)
    target, folder = locate(task.output)
    with (
        filesystem.open_input_file(f"{root}/{task.name}") as stream,
        target.open_output_stream(f"{folder}/{task.name}") as sink,
        pq.ParquetWriter(sink, IMAGE_SCHEMA, compression=_COMPRESSION) as writer,
    ):
        for batch in pq.ParquetFile(stream).iter_batches(_ROW_GROUP_ROWS):
            columns = batch.to_pydict()
            sizes = zip(columns["height"], columns["width"], columns["channels"], strict=True)
            parts = forward_batches(columns["pixels"], [*sizes], program.input_shape)
            features = np.concatenate([forward(part) for part in parts]).astype("<f4")
            columns["pixels"] = [row.tobytes() for row in features]
            count = len(features)
            columns |= {"height": [1] * count, "width": [1] * count}
            columns["channels"] = [program.features] * count
            writer.write_table(pa.table(columns, IMAGE_SCHEMA))
