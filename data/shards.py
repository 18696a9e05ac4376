"""Shards: runs of consecutive rows, one for each worker, that do not divide a patient."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DataError
from data.imbalance import Draws, Sampler
from data.storage import locate

#: NumPy dtype of the stored values: uint8 for pixels, float32 for features.
Dtype = Literal["uint8", "float32"]

#: Size of the shuffle buffer; a shard that fits in it is read once and shuffled as a whole.
SHUFFLE_BUFFER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Piece:
    """Run of ``rows`` images in one Parquet file, starting at row ``first``."""

    file: str
    first: int
    rows: int


@dataclass(frozen=True)
class Images:
    """Images in memory."""

    #: Image names, length n.
    image_ids: list[str]
    #: Pixels or features with the data set's dtype, shape (n, height, width, channels).
    pixels: np.ndarray
    #: int32, shape (n,).
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Shard:
    """Picklable description of consecutive rows, which are read only on request."""

    uri: str
    image_shape: tuple[int, int, int]
    pieces: tuple[Piece, ...]
    dtype: Dtype = "uint8"
    #: Number of images of each class that an epoch draws; None uses every image once.
    draws: Draws | None = None

    @property
    def rows(self) -> int:
        """Number of images in the shard, and in each epoch."""
        return sum(piece.rows for piece in self.pieces)

    def read(self) -> Images:
        """Return all images in the order of the data set."""
        return _join([*self.blocks()], self)

    def blocks(self) -> Iterator[Images]:
        """Yield the images in the order of the data set, one Parquet row group at a time."""
        for piece, group, first, rows in self.row_groups():
            yield self.read_row_group(piece, group, first, rows)

    def row_groups(self) -> list[tuple[Piece, int, int, int]]:
        """Return piece, row group, first row within the group and number of rows.

        There is one entry for each row group that contains rows of this shard.
        """
        found = []
        filesystem, root = locate(self.uri)
        for piece in self.pieces:
            with filesystem.open_input_file(f"{root}/{piece.file}") as stream:
                metadata = pq.ParquetFile(stream).metadata
            start = 0
            for group in range(metadata.num_row_groups):
                size = metadata.row_group(group).num_rows
                first = max(piece.first - start, 0)
                last = min(piece.first + piece.rows - start, size)
                if first < last:
                    found.append((piece, group, first, last - first))
                start += size
        return found

    def read_row_group(self, piece: Piece, group: int, first: int, rows: int) -> Images:
        """Read ``rows`` rows of a row group, from ``first`` on.

        Raises
        ------
        DataError
            If the file is damaged; the message names it.
        """
        filesystem, root = locate(self.uri)
        try:
            with filesystem.open_input_file(f"{root}/{piece.file}") as stream:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                table = file.read_row_group(group, columns=["image_id", "label", "pixels"])
            table = table.slice(first, rows)
            pixels = pixels_of(table.column("pixels"), self.image_shape, self.dtype)
        except (OSError, ValueError) as error:  # include pyarrow's own exceptions
            raise DataError(
                f"{root}/{piece.file}, row group {group}, cannot be read: "
                f"{' '.join(str(error).split())}; if the file is damaged, delete its folder: "
                "the next run prepares the data again"
            ) from error
        return Images(
            image_ids=table.column("image_id").to_pylist(),
            pixels=pixels,
            labels=table.column("label").to_numpy().astype(np.int32),
        )


class ShardReader:
    """Reader of a shard in batches, which reshuffles every epoch with a bounded buffer.

    The order depends only on ``seed``, the epoch and the shard's rows. If the shard has ``draws``,
    each epoch samples as many images as the shard contains.

    Parameters
    ----------
    shard
        Shard to read.
    buffer_bytes
        Size of the shuffle buffer in bytes.
    """

    def __init__(self, shard: Shard, buffer_bytes: int = SHUFFLE_BUFFER_BYTES) -> None:
        self.shard = shard
        image_bytes = int(np.prod(shard.image_shape)) * np.dtype(shard.dtype).itemsize
        self._buffer_rows = max(1, buffer_bytes // image_bytes)
        self._resident = shard.read() if shard.rows <= self._buffer_rows else None

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool = True,
        drop_remainder: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches of one epoch.

        Parameters
        ----------
        batch_size
            Number of images per batch; the last batch may be smaller.
        seed, epoch
            Seed and number of the epoch, which determine the order.
        shuffle
            If False, keep the order of the data set.
        drop_remainder
            If True, omit a last batch that is smaller than ``batch_size``.

        Yields
        ------
        pixels : numpy.ndarray
            Data set's dtype, shape (batch, height, width, channels).
        labels : numpy.ndarray
            int32, shape (batch,).
        """
        generator = np.random.default_rng([seed, epoch])
        draws = self.shard.draws
        sampler = Sampler(draws, generator) if draws else None
        left_pixels: np.ndarray | None = None
        left_labels: np.ndarray | None = None
        for window in self._windows(generator, shuffle):
            order = generator.permutation(len(window)) if shuffle else np.arange(len(window))
            if sampler:
                order = order[sampler.draw(window.labels[order])]
                if shuffle:  # repeated images are adjacent until they are shuffled again
                    order = generator.permutation(order)
            start = 0
            if left_pixels is not None and left_labels is not None:
                start = batch_size - len(left_labels)
                head = order[:start]
                left_pixels = np.concatenate([left_pixels, window.pixels[head]])
                left_labels = np.concatenate([left_labels, window.labels[head]])
                if len(left_labels) < batch_size:
                    continue
                yield left_pixels, left_labels
            whole = start + (len(order) - start) // batch_size * batch_size
            for first in range(start, whole, batch_size):
                chosen = order[first : first + batch_size]
                yield window.pixels[chosen], window.labels[chosen]
            rest = order[whole:]
            left_pixels, left_labels = (
                (window.pixels[rest], window.labels[rest]) if len(rest) else (None, None)
            )
        if left_pixels is not None and left_labels is not None and not drop_remainder:
            yield left_pixels, left_labels

    def _windows(self, generator: np.random.Generator, shuffle: bool) -> Iterator[Images]:
        """Yield sets of images that fit in the buffer, from row groups in random order."""
        if self._resident is not None:
            yield self._resident
            return
        groups = self.shard.row_groups()
        order = generator.permutation(len(groups)) if shuffle else np.arange(len(groups))
        held: list[Images] = []
        for number in order:
            block = self.shard.read_row_group(*groups[number])
            if held and sum(map(len, held)) + len(block) > self._buffer_rows:
                yield _join(held, self.shard)
                held = []
            held.append(block)
        if held:
            yield _join(held, self.shard)


def cut(groups: Sequence[str], parts: int) -> list[tuple[int, int]]:
    """Divide rows into ``parts`` runs of nearly equal length without dividing a group.

    Parameters
    ----------
    groups
        Group of each row; rows of a group must be adjacent.
    parts
        Number of runs.

    Returns
    -------
    list of tuple of int
        First row, and the row after the last one, of each run.

    Raises
    ------
    ValueError
        If there are fewer groups than parts.
    """
    borders = [0] + [i for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
    borders.append(len(groups))
    if len(borders) - 1 < parts:
        raise ValueError(f"{len(borders) - 1} groups cannot be divided among {parts} workers")
    chosen = [0]
    for part in range(1, parts):
        ideal = len(groups) * part / parts
        first = chosen[-1] + 1
        last = len(borders) - 1 - (parts - part)
        chosen.append(min(range(first, last + 1), key=lambda i: abs(borders[i] - ideal)))
    chosen.append(len(borders) - 1)
    return [(borders[a], borders[b]) for a, b in itertools.pairwise(chosen)]


def pixels_of(
    column: pa.ChunkedArray, image_shape: tuple[int, int, int], dtype: Dtype = "uint8"
) -> np.ndarray:
    """Convert a column of byte strings of equal length to an array.

    Returns
    -------
    numpy.ndarray
        Array with the given dtype, shape (n, height, width, channels).

    Raises
    ------
    ValueError
        If the length of a byte string does not match the shape and dtype.
    """
    size = int(np.prod(image_shape)) * np.dtype(dtype).itemsize
    blocks = []
    for chunk in column.chunks:
        if len(chunk) == 0:
            continue
        _, offsets, values = chunk.buffers()
        ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if not (np.diff(ends) == size).all():
            raise ValueError(f"an image does not have the {size} bytes of {image_shape}")
        flat = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
        blocks.append(flat.view(dtype).reshape(len(chunk), *image_shape))
    if not blocks:
        return np.empty((0, *image_shape), dtype)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _join(blocks: list[Images], shard: Shard) -> Images:
    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        return Images([], np.empty((0, *shard.image_shape), shard.dtype), np.empty(0, np.int32))
    return Images(
        [name for block in blocks for name in block.image_ids],
        np.concatenate([block.pixels for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
    )
