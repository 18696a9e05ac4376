"""A prepared data set whose images are features of a frozen backbone.

It has the rows, the order and the split of the data set that it comes from, so every backend
trains a new last layer on it as it would train a whole network on pixels.
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
from backends.featurizer.pixels import passes
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

#: Images of a row group: features of some thousand numbers each, a few megabytes together.
_ROW_GROUP_ROWS = 512
_COMPRESSION = "lz4"


def features_key(data: PreparedData, config: BackboneConfig, seed: int) -> str:
    """Return a digest of everything that decides the features; asks nothing of Keras.

    Raises
    ------
    OSError
        When the backbone's file cannot be read.
    """
    content = hashlib.sha256(config.path.read_bytes()).hexdigest() if config.is_file else ""
    # A file that moved makes the same features; weights that are not loaded come from the seed.
    decisive = {
        "backbone": config.model_dump(mode="json", exclude={"name"} if config.is_file else set()),
        "content": content,
        "seed": None if config.is_file or config.weights == "imagenet" else seed,
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

    A finished data set of the same features is opened as it is.

    Parameters
    ----------
    data
        Images.
    config
        The backbone.
    output
        Folder; new, empty, or written by an earlier call.
    seed
        Decides weights of the backbone that are not loaded.
    spark
        A session whose executors share a disk with this process; without it a local one with
        ``workers`` threads is started and stopped in the end.
    progress
        Called in this thread with images done and images in total.

    Raises
    ------
    ModelError
        When the backbone cannot be had or does not take these images.
    BackendError
        When no engine can run it.
    DataError
        When output cannot be used.
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
            f"Features of {config.name} ({backbone.features} numbers of an image), computed once "
            f"by {choice.program.engine} in {choice.program.precision} in {seconds:.1f} s, stand "
            "for the pixels."
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
    """One Parquet file of images to make one of features from."""

    source: str
    output: str
    name: str
    #: A pickled program; one file for all tasks.
    program: Path


def _featurize(task: _File) -> None:
    """Write the rows of a file with features as their pixels. Runs in a Python worker."""
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
            parts = passes(columns["pixels"], [*sizes], program.input_shape)
            features = np.concatenate([forward(part) for part in parts]).astype("<f4")
            columns["pixels"] = [row.tobytes() for row in features]
            count = len(features)
            columns |= {"height": [1] * count, "width": [1] * count}
            columns["channels"] = [program.features] * count
            writer.write_table(pa.table(columns, IMAGE_SCHEMA))
