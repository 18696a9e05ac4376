"""Order of the rows of a data set, the same for every backend."""

from collections import deque

import numpy as np
import pyarrow as pa

from data.errors import DataError
from data.schema import SPLITS
from data.splitting import SplitManifest


def order_rows(table: pa.Table, manifest: SplitManifest, seed: int) -> pa.Table:
    """Sort rows by split, then by group, and add the column ``split``.

    Groups are in a random order that interleaves the classes, so that any run of groups, such as a
    shard, has approximately the class balance of its split. The order within a group is random too.
    It depends only on ``seed`` and the content of the table.

    Parameters
    ----------
    table
        Columns of `data.schema.INDEX_SCHEMA` and ``label``; the order of its rows does not matter.
    manifest
        Split manifest, which must cover every group of ``table``.
    seed
        Seed of the random order.
    """
    table = table.sort_by("image_id")
    generator = np.random.default_rng(seed)
    names, group_codes = np.unique(table.column("group").to_pylist(), return_inverse=True)
    labels = table.column("label").to_numpy()
    counts = np.zeros((len(names), int(labels.max()) + 1), np.int64)
    np.add.at(counts, (group_codes, labels), 1)

    members: list[list[int]] = [[] for _ in names]
    for row in generator.permutation(table.num_rows):
        members[group_codes[row]].append(int(row))
    sides = np.array([manifest.assignments[str(name)] for name in names])
    order, splits = [], []
    for split in SPLITS:
        groups = generator.permutation(np.flatnonzero(sides == split))
        rows = [row for group in take_turns(groups, counts) for row in members[group]]
        order += rows
        splits += [split] * len(rows)
    return table.take(order).append_column(
        pa.field("split", pa.string(), nullable=False), pa.array(splits, pa.string())
    )


def thin_training(rows: pa.Table, count: int | None) -> pa.Table:
    """Keep ``count`` training rows, evenly spaced in their order, and all rows of other splits.

    Rows of a group are adjacent and in random order, so each group keeps its share.

    Raises
    ------
    DataError
        If there are fewer than ``count`` training rows, or a class has none among those kept.
    """
    if count is None:
        return rows
    train = np.array(rows.column("split").to_pylist()) == "train"
    total = int(train.sum())
    if count > total:
        raise DataError(
            f"{count:,} training images are requested (--images, train_images), but the split has "
            f"{total:,}"
        )
    before = np.cumsum(train) - train
    kept = ~train | ((before + 1) * count // total > before * count // total)
    names = np.array(rows.column("class_name").to_pylist(), object)
    if lost := sorted({*names[train]} - {*names[train & kept]}):
        raise DataError(
            f"none of the {count:,} requested training images (--images, train_images) is of class "
            f"'{lost[0]}': request more"
        )
    return rows.filter(pa.array(kept))


def take_turns(groups: np.ndarray, counts: np.ndarray) -> list[int]:
    """Interleave groups so that every prefix has approximately the overall class proportions.

    Parameters
    ----------
    groups
        Numbers of the groups; groups with the same predominant class keep their relative order.
    counts
        Number of images of each group and class, shape (all groups, classes).

    Returns
    -------
    list of int
        The elements of ``groups``, each once.
    """
    if len(groups) == 0:
        return []
    shares = counts[groups].sum(axis=0) / counts[groups].sum()
    queues: list[deque[int]] = [deque() for _ in shares]
    for group in groups:
        queues[int(counts[group].argmax())].append(int(group))
    taken = np.zeros(len(shares))
    turns = []
    while any(queues):
        behind = shares * taken.sum() - taken
        waiting = [label for label, queue in enumerate(queues) if queue]
        group = queues[max(waiting, key=lambda label: behind[label])].popleft()
        taken += counts[group]
        turns.append(group)
    return turns
