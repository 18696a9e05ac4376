"""Each row is read once per epoch, in an order set by the seed, for every buffer size."""

from itertools import groupby
from pathlib import Path
from shutil import copytree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.damage import flip_a_bit
from data.errors import DataError
from data.prepared import PreparedData, open_prepared
from data.schema import IMAGE_SCHEMA
from data.shards import Piece, Shard, ShardReader, cut, pixels_of

SHAPE = (4, 4, 1)
ROWS = 103


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """Rows 5 to 107 of two files of 60 in row groups of 8; row n has label n and pixels of n."""
    folder = tmp_path_factory.mktemp("shard")
    for number in range(2):
        rows = [
            {
                "image_id": f"image_{n}",
                "path": f"{n}.png",
                "label": n,
                "class_name": "cell",
                "patient_id": f"{n // 10}",
                "group": f"{n // 10}",
                "height": 4,
                "width": 4,
                "channels": 1,
                "pixels": bytes([n]) * 16,
                "split": "train",
            }
            for n in range(number * 60, number * 60 + 60)
        ]
        table = pa.Table.from_pylist(rows, IMAGE_SCHEMA)
        pq.write_table(table, folder / f"train-{number:05d}.parquet", row_group_size=8)
    pieces = (Piece("train-00000.parquet", 5, 55), Piece("train-00001.parquet", 0, 48))
    return Shard(str(folder), SHAPE, pieces)


def epoch(reader: ShardReader, seed: int = 1, number: int = 0, **options) -> list[np.ndarray]:
    batches = [*reader.batches(10, seed=seed, epoch=number, **options)]
    for pixels, labels in batches:
        assert pixels.shape == (len(labels), *SHAPE)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels[:, 0, 0, 0], labels)
    return [labels for _, labels in batches]


#: Bytes of 200, 20 and 3 images: all rows, a few row groups, less than one row group.
@pytest.fixture(params=[3200, 320, 48])
def reader(request: pytest.FixtureRequest, shard: Shard) -> ShardReader:
    return ShardReader(shard, buffer_bytes=request.param)


def test_each_row_comes_once_in_full_batches(reader: ShardReader):
    batches = epoch(reader)
    assert [len(batch) for batch in batches] == [10] * 10 + [3]
    assert sorted(np.concatenate(batches)) == [*range(5, 108)]


def test_the_seed_and_the_epoch_decide_the_order(reader: ShardReader, shard: Shard):
    first = np.concatenate(epoch(reader))
    again = np.concatenate(epoch(ShardReader(shard, buffer_bytes=reader._buffer_rows * 16)))
    np.testing.assert_array_equal(first, again)
    assert (first != np.concatenate(epoch(reader, number=1))).any()
    assert (first != np.concatenate(epoch(reader, seed=2))).any()


def test_without_shuffling_the_order_is_the_files(reader: ShardReader):
    assert np.concatenate(epoch(reader, shuffle=False)).tolist() == [*range(5, 108)]


def test_the_remainder_is_dropped_only_when_asked(reader: ShardReader):
    assert [len(batch) for batch in epoch(reader, drop_remainder=True)] == [10] * 10


def test_a_batch_may_be_larger_than_the_shard(reader: ShardReader):
    [(_, labels)] = reader.batches(1000, seed=0, epoch=0)
    assert sorted(labels) == [*range(5, 108)]


def test_read_and_blocks_give_the_same_rows(shard: Shard):
    whole = shard.read()
    blocks = [*shard.blocks()]
    assert whole.image_ids == [f"image_{n}" for n in range(5, 108)]
    assert len(whole) == shard.rows == ROWS
    np.testing.assert_array_equal(whole.pixels, np.concatenate([b.pixels for b in blocks]))


def test_bit_that_has_changed_on_disk_is_noticed_and_its_file_named(
    prepared: PreparedData, tmp_path: Path
) -> None:
    copy = open_prepared(copytree(prepared.uri, tmp_path / "copy"))
    name = flip_a_bit(copy)
    with pytest.raises(DataError, match=rf"copy/{name}, row group \d+, cannot be read: .*checksum"):
        copy.shard("train").read()
    copy.shard("validation").read()


def test_pixels_of_another_size_are_refused():
    column = pa.chunked_array([pa.array([b"1234", b"123"], pa.binary())])
    with pytest.raises(ValueError, match="does not have the 4 bytes"):
        pixels_of(column, (2, 2, 1))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 12))
def test_cut_covers_all_rows_and_divides_no_group(sizes: list[int], parts: int):
    groups = [f"patient_{n}" for n, size in enumerate(sizes) for _ in range(size)]
    if len(sizes) < parts:
        with pytest.raises(ValueError, match="cannot be divided"):
            cut(groups, parts)
        return
    runs = cut(groups, parts)
    assert len(runs) == parts
    assert [row for first, last in runs for row in range(first, last)] == [*range(len(groups))]
    shares = [{*groups[first:last]} for first, last in runs]
    assert all(shares)
    assert sum(map(len, shares)) == len([*groupby(groups)])


@given(st.integers(1, 20), st.integers(1, 10))
def test_cut_of_equal_groups_is_even(groups_per_part: int, parts: int):
    groups = [str(n) for n in range(groups_per_part * parts) for _ in range(7)]
    assert {last - first for first, last in cut(groups, parts)} == {7 * groups_per_part}
