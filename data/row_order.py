"""The one order of rows that every backend sees."""

from collections import deque

import numpy as np
import pyarrow as pa

from data.errors import DataError
from data.schema import SPLITS
from data.splitting import SplitManifest


def order_rows(table: pa.Table, manifest: SplitManifest, seed: int) -> pa.Table:
    """Sort rows by split, then by group, and add the column ``split``.

    Groups follow one another in a random order in which the classes take turns, so that any run
    of groups has about the class balance of its split: shards are such runs. Within a group the
    order is random too. It depends on ``seed`` and the table's content only.

    Parameters
    ----------
    table
        Columns of `data.schema.INDEX_SCHEMA` and ``label``; the order of its rows does not matter.
    manifest
        Covers every group of ``table``.
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
    """Keep ``count`` training rows, evenly spaced in their order; other rows stay.

    Rows of a group follow one another in a random order, so that each group keeps its share.

    Raises
    ------
    DataError
        When there are fewer, or when none of ``count`` is of one of the classes.
    """
    if count is None:
        return rows
    train = np.array(rows.column("split").to_pylist()) == "train"
    total = int(train.sum())
    if count > total:
        raise DataError(
            f"{count:,} training images are asked for (--images, train_images); the split has "
            f"{total:,}"
        )
    before = np.cumsum(train) - train
    kept = ~train | ((before + 1) * count // total > before * count // total)
    names = np.array(rows.column("class_name").to_pylist(), object)
    if lost := sorted({*names[train]} - {*names[train & kept]}):
        raise DataError(
            f"of the {count:,} training images that are asked for (--images, train_images) none is "
            f"of class '{lost[0]}': ask for more"
        )
    return rows.filter(pa.array(kept))


def take_turns(groups: np.ndarray, counts: np.ndarray) -> list[int]:
    """Interleave groups so that each class keeps up with its share of the images.

    Parameters
    ----------
    groups
        Numbers of the groups, in the order in which those of the same class stay.
    counts
        Images of each group and class, shape (all groups, classes).

    Returns
    -------
    list of int
        ``groups``, each once.
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
