"""Rare classes are drawn exactly as often as common ones, for every buffer size."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.imbalance import Draws, Sampler, class_weights
from data.prepared import PreparedData
from data.schema import IMAGE_SCHEMA
from data.shards import Piece, Shard, ShardReader

#: Number of images of the classes 0, 1 and 2.
IMAGES = (70, 25, 8)


def test_weights_make_classes_count_the_same() -> None:
    labels = np.repeat(np.arange(3), IMAGES)
    weights = np.array(class_weights(labels, 3))
    np.testing.assert_allclose(weights * IMAGES, sum(IMAGES) / 3)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(1, 50), st.integers(0, 9))
def test_each_class_is_drawn_exactly_as_often_as_asked(
    labels: list[int], block: int, seed: int
) -> None:
    found = np.array(labels)
    draws = Draws.balanced(found, (0.5, 1.0, 4.0))
    assert sum(draws.drawn) == len(found)
    sampler = Sampler(draws, np.random.default_rng(seed))
    blocks = [found[start : start + block] for start in range(0, len(found), block)]
    repeats = [np.bincount(sampler.draw(b), minlength=len(b)) for b in blocks]
    for label, (images, drawn) in enumerate(zip(draws.images, draws.drawn, strict=True)):
        own = np.concatenate(repeats)[found == label]
        assert own.sum() == drawn
        if images:
            assert set(own) <= {drawn // images, -(-drawn // images)}


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """A shard of images whose pixels encode their row number."""
    folder = tmp_path_factory.mktemp("uneven")
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), IMAGES))
    rows = [
        {
            "image_id": str(n),
            "path": str(n),
            "label": int(label),
            "class_name": str(label),
            "patient_id": str(n),
            "group": str(n),
            "height": 2,
            "width": 2,
            "channels": 1,
            "pixels": bytes([n]) * 4,
            "split": "train",
        }
        for n, label in enumerate(labels)
    ]
    table = pa.Table.from_pylist(rows, IMAGE_SCHEMA)
    pq.write_table(table, folder / "train.parquet", row_group_size=8)
    return Shard(
        str(folder),
        (2, 2, 1),
        (Piece("train.parquet", 0, sum(IMAGES)),),
        draws=Draws.balanced(labels, class_weights(labels, 3)),
    )


@pytest.mark.parametrize("buffer_bytes", [4096, 64])
def test_an_epoch_is_as_long_as_before_and_every_image_is_seen_in_the_end(
    shard: Shard, buffer_bytes: int
) -> None:
    reader = ShardReader(shard, buffer_bytes)
    seen: set[int] = set()
    for epoch in range(12):
        batches = [*reader.batches(10, seed=3, epoch=epoch)]
        assert [len(labels) for _, labels in batches] == [10] * 10 + [3]
        labels = np.concatenate([labels for _, labels in batches])
        assert sorted(np.bincount(labels)) == [34, 34, 35]
        numbers = np.concatenate([pixels[:, 0, 0, 0] for pixels, _ in batches])
        common = numbers[labels == 0]
        assert len(set(common)) == len(common), "a common class is thinned without repeats"
        assert len(set(numbers[labels == 2])) == IMAGES[2]
        seen |= set(numbers.tolist())
        again = np.concatenate([p[:, 0, 0, 0] for p, _ in reader.batches(10, seed=3, epoch=epoch)])
        np.testing.assert_array_equal(numbers, again)
    assert len(seen) == sum(IMAGES)


def test_only_training_images_are_drawn(prepared: PreparedData) -> None:
    sampled = prepared.with_sampling()
    shards = sampled.patient_shards("train", 2)
    assert sum(shard.rows for shard in shards) == prepared.rows("train")
    for shard in shards:
        _, labels = zip(*ShardReader(shard).batches(64, seed=0, epoch=1), strict=True)
        one, other = np.bincount(np.concatenate(labels))
        assert abs(int(one) - int(other)) <= 0.1 * shard.rows
    for split in ("validation", "test"):
        assert sampled.shard(split) == prepared.shard(split)
    assert replace(sampled, sampled=False) == prepared
