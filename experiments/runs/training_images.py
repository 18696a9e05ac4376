"""Properties of the training images that are stored with a model: ranges and digests."""

import hashlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from data.appearance import sizes
from data.errors import SparkdlError
from data.object_store import is_object
from data.prepared import PreparedData, open_prepared
from data.storage import locate
from experiments.config import Experiment
from experiments.runs.preparation import images_folder
from models import training_set
from models.card import Range
from models.image_measures import measure

#: Number of images that are measured, and of files whose headers are read.
_MEASURED, _HEADERS = 2000, 200
#: Row groups from which the measured images are taken; each has at most 8 MiB.
_ROW_GROUPS = 40
#: Seconds after which measuring and reading headers end with what is known by then.
_SECONDS = 5.0
#: Percentiles that enclose 99 % of the values.
_ENDS = (0.5, 99.5)
_DIGEST = "pixels_sha256"
_log = logging.getLogger(__name__)


def pixels_of(data: PreparedData, experiment: Experiment) -> PreparedData | None:
    """Return the data set with the pixels from which the features of ``data`` were computed.

    Returns
    -------
    PreparedData or None
        ``data`` itself if it has pixels; None if the images were deleted or changed since.
    """
    if data.dtype == "uint8":
        return data
    assert experiment.model.backbone is not None
    folder = images_folder(data.uri, experiment.model.backbone, experiment.seeds[0])
    try:
        images = open_prepared(folder)
    except (SparkdlError, OSError):
        return None
    same = images.summary.split_checksum == data.summary.split_checksum
    return images if same and images.dtype == "uint8" else None


def ranges(images: PreparedData) -> dict[str, Range]:
    """Return the ranges that contain 99 % of the training images' values, by property.

    The properties are those of `models.image_measures.measure`, and ``height`` and ``width`` of the
    original files. Up to 2,000 images and 200 files are sampled evenly, for at most about five
    seconds each. Files in an object store are not read. What cannot be read is omitted.

    Parameters
    ----------
    images
        Data set with pixels.
    """
    found: dict[str, Range] = {}
    for part in (_measured, _sizes):
        try:
            values = part(images)
        except (SparkdlError, OSError, ValueError) as error:
            _log.warning("the ranges of the training images are incomplete: %s", error)
            continue
        for name, numbers in values.items():
            low, high = np.percentile(numbers, _ENDS)
            found[name] = Range(low=float(low), high=float(high))
    return found


def write_digests(images: PreparedData, folder: Path) -> None:
    """Write the digests of training and validation images and patients to ``folder``.

    If they cannot be read, nothing is written: an incomplete list would hide overlaps.
    """
    try:
        digests = [*_digests(images, "train"), *_digests(images, "validation")]
        patients: set[str] = set()
        if images.summary.unit != "image":
            for split in ("train", "validation"):
                patients |= set(images.index(split).column("patient_id").to_pylist())
    except (SparkdlError, OSError, ValueError) as error:
        _log.warning("the digests of the training images are missing: %s", error)
        return
    training_set.write(folder, digests, patients)


def _measured(images: PreparedData) -> dict[str, np.ndarray]:
    shard = images.shard("train")
    groups = shard.row_groups()
    chosen = _evenly(len(groups), _ROW_GROUPS)
    # In random order, so that a time limit leaves an even sample.
    order = np.random.default_rng(0).permutation(chosen)
    share, deadline = -(-_MEASURED // len(chosen)), time.monotonic() + _SECONDS
    blocks = []
    for number in order:
        block = shard.read_row_group(*groups[number])
        blocks.append(measure(block.pixels[_evenly(len(block), share)]))
        if time.monotonic() > deadline:
            break
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _sizes(images: PreparedData) -> dict[str, np.ndarray]:
    root = _source(images)
    if root is None:
        return {}
    paths = images.index("train").column("path")
    chosen = np.random.default_rng(0).permutation(_evenly(len(paths), _HEADERS))
    deadline, found = time.monotonic() + _SECONDS, []
    for size in sizes(str(root), [str(path) for path in paths.take(chosen).to_pylist()]):
        found.append(size)
        if time.monotonic() > deadline:
            break
    if not found:
        return {}
    return dict(zip(("height", "width"), np.array(found).T, strict=True))


def _source(images: PreparedData) -> Path | None:
    """Return the folder that the images' paths are relative to, if it is on this machine."""
    source = images.summary.source
    if is_object(source):
        return None
    if source == "synthetic":  # drawn next to the prepared data, unless these are elsewhere
        return next(iter(sorted(Path(images.uri).parent.glob("synthetic-cells-*"))), None)
    path = Path(source).expanduser()
    return path.parent if path.is_file() else path


def _digests(images: PreparedData, split: str) -> Iterator[bytes]:
    filesystem, root = locate(images.uri)
    paths = [f"{root}/{part.name}" for part in images.summary.files.get(split, ())]
    if all(_DIGEST in pq.read_schema(path, filesystem=filesystem).names for path in paths):
        for path in paths:
            table = pq.read_table(path, columns=[_DIGEST], filesystem=filesystem)
            yield from table.column(_DIGEST).to_pylist()
        return
    for block in images.shard(split).blocks():  # prepared by an early version
        for pixels in block.pixels:
            yield hashlib.sha256(pixels.tobytes()).digest()


def _evenly(count: int, most: int) -> np.ndarray:
    """Return up to ``most`` of the numbers below ``count``, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
