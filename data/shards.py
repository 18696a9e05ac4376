"""The rows that one worker reads: a run of consecutive images that cuts no patient in two."""

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

#: Of one number of an image: pixels, or features in their place.
Dtype = Literal["uint8", "float32"]

#: Rows are shuffled among as many images as fit in this many bytes; a shard that is smaller is
#: read once and shuffled as a whole.
SHUFFLE_BUFFER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Piece:
    """``rows`` images of one Parquet file, from row ``first`` on."""

    file: str
    first: int
    rows: int


@dataclass(frozen=True)
class Images:
    """Images side by side in memory."""

    #: Image names, length n.
    image_ids: list[str]
    #: Of the data set's dtype, shape (n, height, width, channels).
    pixels: np.ndarray
    #: int32, shape (n,).
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Shard:
    """A picklable description of consecutive rows; reading happens where it is asked for."""

    uri: str
    image_shape: tuple[int, int, int]
    pieces: tuple[Piece, ...]
    dtype: Dtype = "uint8"
    #: What an epoch draws of each class; None takes every image once.
    draws: Draws | None = None

    @property
    def rows(self) -> int:
        """Number of images, of an epoch too."""
        return sum(piece.rows for piece in self.pieces)

    def read(self) -> Images:
        """Return all images in the order of the data set."""
        return _join([*self.blocks()], self)

    def blocks(self) -> Iterator[Images]:
        """Yield the images in the order of the data set, one Parquet row group at a time."""
        for piece, group, first, rows in self._row_groups():
            yield self._read_row_group(piece, group, first, rows)

    def _row_groups(self) -> list[tuple[Piece, int, int, int]]:
        """Row groups that hold rows of this shard: piece, group, first row within it, rows."""
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

    def _read_row_group(self, piece: Piece, group: int, first: int, rows: int) -> Images:
        filesystem, root = locate(self.uri)
        try:
            with filesystem.open_input_file(f"{root}/{piece.file}") as stream:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                table = file.read_row_group(group, columns=["image_id", "label", "pixels"])
            table = table.slice(first, rows)
            pixels = pixels_of(table.column("pixels"), self.image_shape, self.dtype)
        except (OSError, ValueError) as error:  # pyarrow's own are among them
            raise DataError(
                f"{root}/{piece.file}, row group {group}, cannot be read: "
                f"{' '.join(str(error).split())}; if the file is damaged, delete its folder, "
                "and the next run prepares the data again"
            ) from error
        return Images(
            image_ids=table.column("image_id").to_pylist(),
            pixels=pixels,
            labels=table.column("label").to_numpy().astype(np.int32),
        )


class ShardReader:
    """Batches of one shard, shuffled anew each epoch with a bounded buffer.

    The order depends on nothing but ``seed``, the epoch and the shard's rows. Where the shard has
    ``draws``, an epoch has as many images as the shard, drawn anew.
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
        """Yield pixels (batch x height x width x channels) and labels (int32, batch)."""
        generator = np.random.default_rng([seed, epoch])
        draws = self.shard.draws
        sampler = Sampler(draws, generator) if draws else None
        left_pixels: np.ndarray | None = None
        left_labels: np.ndarray | None = None
        for window in self._windows(generator, shuffle):
            order = generator.permutation(len(window)) if shuffle else np.arange(len(window))
            if sampler:
                order = order[sampler.draw(window.labels[order])]
                if shuffle:  # an image that is drawn again stands beside itself
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
        """Yield groups of images that fit the buffer, from row groups in random order."""
        if self._resident is not None:
            yield self._resident
            return
        groups = self.shard._row_groups()
        order = generator.permutation(len(groups)) if shuffle else np.arange(len(groups))
        held: list[Images] = []
        for number in order:
            block = self.shard._read_row_group(*groups[number])
            if held and sum(map(len, held)) + len(block) > self._buffer_rows:
                yield _join(held, self.shard)
                held = []
            held.append(block)
        if held:
            yield _join(held, self.shard)


def cut(groups: Sequence[str], parts: int) -> list[tuple[int, int]]:
    """Cut rows into ``parts`` runs of nearly equal length without cutting a group in two.

    Parameters
    ----------
    groups
        The group of each row; rows of a group stand together.
    parts
        How many runs.

    Returns
    -------
    list of (first row, one past the last row)

    Raises
    ------
    ValueError
        When there are fewer groups than parts.
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
    """Return a column of equally long byte strings as an array (n, height, width, channels)."""
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
