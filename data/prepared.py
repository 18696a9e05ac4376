"""Prepared data set: Parquet files, the split manifest and a summary that marks it as complete.

::

    <folder>/
        dataset.json           written last: a folder without it is not a data set
        split.json             group -> split, with checksum
        rejects.parquet        one row for each file that was left out, with reason and kind
        train-00000.parquet    rows in the same order for every backend
        validation-00000.parquet
        test-00000.parquet
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from data.config import Unit
from data.errors import DataError
from data.imbalance import Draws, class_weights
from data.names import one_spelling
from data.rejects import in_words
from data.schema import SPLITS, UNUSED
from data.shards import Dtype, Piece, Shard, cut
from data.splitting import SplitManifest
from data.storage import absolute, exists, locate, read_bytes

DATASET_FILE = "dataset.json"
SPLIT_FILE = "split.json"
REJECTS_FILE = "rejects.parquet"
FORMAT = 1


class FilePart(BaseModel):
    """One Parquet file and its number of images."""

    model_config = ConfigDict(frozen=True)
    name: str
    rows: int


class Summary(BaseModel):
    """Content of ``dataset.json``."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    #: SHA-256 over names, labels, patients and pixels of all rows in order.
    fingerprint: str
    split_checksum: str
    class_names: tuple[str, ...]
    #: Height, width, channels.
    image_shape: tuple[int, int, int]
    #: NumPy dtype of the stored pixels, or float32 if they are replaced by features of a backbone.
    dtype: Dtype = "uint8"
    #: Seconds that computing these features took; they are computed once and shared by all runs.
    features_s: float = 0.0
    synthetic: bool
    source: str
    layout: str
    #: Unit of the split, all images of which are on one side.
    unit: Unit = "patient"
    #: How the source was read, one line each.
    reading: tuple[str, ...] = ()
    files: dict[str, tuple[FilePart, ...]]
    #: Number of files and rows that could have been images of the set, see `data.rejects.LOST`.
    rejects: int
    #: Number of rows of ``rejects.parquet`` by kind.
    reject_kinds: dict[str, int] = {}
    #: Version of the rules by which images were decoded, see `data.images.DECODING_RULES`.
    decoding_rules: int = 1
    #: Notes for the interpretation of results, one sentence each.
    notes: tuple[str, ...] = ()
    #: Configuration from which the data set was made.
    config: dict[str, Any] = {}
    #: SHA-256 over names, classes, patients and file sizes of the source, to detect changes.
    inputs_digest: str = ""

    @property
    def left_out(self) -> str:
        """Summary by `data.rejects.in_words` of the files that were left out."""
        # Versions without kinds did not count files that are not images.
        return in_words(self.reject_kinds or {UNUSED: self.rejects})


@dataclass(frozen=True)
class PreparedData:
    """Complete, verified data set, represented by names and counts without pixels."""

    uri: str
    summary: Summary
    manifest: SplitManifest
    #: True if a training epoch draws equal numbers of images of each class.
    sampled: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in label order."""
        return self.summary.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.summary.image_shape

    @property
    def dtype(self) -> Dtype:
        """NumPy dtype of the stored pixels or features."""
        return self.summary.dtype

    @property
    def image_bytes(self) -> int:
        """Size in bytes of one image, or of its features."""
        return int(np.prod(self.image_shape)) * np.dtype(self.dtype).itemsize

    def without_test(self) -> "PreparedData":
        """Return the data set with the test images replaced by the validation images.

        This serves to choose settings: predictions for the test split are then made for validation
        images, and code that receives this object cannot access any test image.
        """
        files = {**self.summary.files, "test": self.summary.files.get("validation", ())}
        return replace(self, summary=self.summary.model_copy(update={"files": files}))

    def with_sampling(self) -> "PreparedData":
        """Return the data set with training images sampled so that classes are equally frequent."""
        return replace(self, sampled=True)

    def class_weights(self) -> tuple[float, ...]:
        """Return the weight of a training image of each class that balances the classes."""
        return class_weights(self._labels("train"), len(self.class_names))

    def rows(self, split: str) -> int:
        """Return the number of images in ``split``."""
        return sum(part.rows for part in self.summary.files.get(split, ()))

    def index(self, split: str) -> pa.Table:
        """Return the index of ``split``, in the order of its rows.

        Returns
        -------
        pyarrow.Table
            Columns image_id, path, label, class_name, patient_id, group and split.

        Raises
        ------
        DataError
            If the split has no images.
        """
        filesystem, root = locate(self.uri)
        columns = ["image_id", "path", "label", "class_name", "patient_id", "group", "split"]
        tables = [
            pq.read_table(f"{root}/{part.name}", columns=columns, filesystem=filesystem)
            for part in self.summary.files.get(split, ())
        ]
        if not tables:
            raise DataError(f"{self.uri}: no images in the split '{split}'")
        return pa.concat_tables(tables)

    def patient_shards(self, split: str, parts: int) -> list[Shard]:
        """Divide ``split`` among ``parts`` workers without dividing a group.

        Raises
        ------
        DataError
            If there are fewer groups than parts.
        """
        try:
            runs = cut(self.index(split).column("group").to_pylist(), parts)
        except ValueError as error:
            raise DataError(f"{self.uri}, split '{split}': {error}; use fewer --workers") from None
        return self._drawn(split, [self._shard(split, first, last) for first, last in runs])

    def shard(self, split: str) -> Shard:
        """Return the whole ``split`` as one shard."""
        return self._drawn(split, [self._shard(split, 0, self.rows(split))])[0]

    def row_slices(self, split: str, parts: int) -> list[Shard]:
        """Divide ``split`` into at most ``parts`` runs of nearly equal length.

        Groups may be divided, so this is suitable for work in which patients need not stay
        together, such as prediction.
        """
        rows = self.rows(split)
        borders = [rows * part // parts for part in range(parts + 1)]
        runs = itertools.pairwise(borders)
        return [self._shard(split, first, last) for first, last in runs if first < last]

    def _labels(self, split: str) -> np.ndarray:
        return self.index(split).column("label").to_numpy().astype(np.int64)

    def _drawn(self, split: str, shards: list[Shard]) -> list[Shard]:
        """Return ``shards``, which must cover ``split``, with the draws for balanced sampling."""
        if not self.sampled or split != "train":
            return shards
        labels, weights = self._labels(split), self.class_weights()
        borders = np.cumsum([shard.rows for shard in shards])[:-1]
        return [
            replace(shard, draws=Draws.balanced(own, weights))
            for shard, own in zip(shards, np.split(labels, borders), strict=True)
        ]

    def _shard(self, split: str, first: int, last: int) -> Shard:
        pieces, start = [], 0
        for part in self.summary.files[split]:
            begin, end = max(first - start, 0), min(last - start, part.rows)
            if begin < end:
                pieces.append(Piece(part.name, begin, end - begin))
            start += part.rows
        return Shard(self.uri, self.image_shape, tuple(pieces), self.dtype)


def open_prepared(uri: str | Path) -> PreparedData:
    """Open a prepared data set and check that its split keeps every group on one side.

    Raises
    ------
    DataError
        If the folder is missing or unfinished, or rows contradict the manifest.
    """
    filesystem, root = locate(uri)
    if not exists(filesystem, f"{root}/{DATASET_FILE}"):
        raise DataError(
            f"{uri} contains no finished data set ({DATASET_FILE} is missing): "
            "create one with 'sparkdl-bench data prepare'"
        )
    try:
        summary = Summary.model_validate_json(read_bytes(filesystem, f"{root}/{DATASET_FILE}"))
    except ValidationError:
        raise DataError(f"{uri}: {DATASET_FILE} is damaged; prepare the data again") from None
    if summary.format != FORMAT:
        raise DataError(f"{uri} has format {summary.format}, but this version reads {FORMAT}")
    manifest = SplitManifest.from_json(
        read_bytes(filesystem, f"{root}/{SPLIT_FILE}").decode(errors="replace")
    )
    prepared = PreparedData(absolute(uri), summary, manifest)
    if manifest.checksum != summary.split_checksum:
        raise DataError(f"{uri}: {SPLIT_FILE} was changed after the data set was created")
    _check_rows(prepared)
    return prepared


def _check_rows(prepared: PreparedData) -> None:
    """Refuse rows whose side contradicts the manifest, and patients on two sides."""
    sides: dict[str, str] = {}
    for split in SPLITS:
        if not prepared.summary.files.get(split):
            continue
        table = prepared.index(split)
        columns = (table.column(name).to_pylist() for name in ("group", "patient_id", "split"))
        for group, patient, written in zip(*columns, strict=True):
            expected = prepared.manifest.assignments.get(group)
            if not expected == written == split:
                raise DataError(
                    f"{prepared.uri}: group {group} is in '{split}', but the manifest assigns it "
                    f"to '{expected}'; prepare the data again"
                )
            side = sides.setdefault(one_spelling(patient), split)
            if side != split and prepared.manifest.by == "patient":
                raise DataError(
                    f"{prepared.uri}: patient {patient} is in '{side}' and in '{split}'; "
                    "prepare the data again"
                )
