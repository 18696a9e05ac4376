"""LMDB databases as Caffe's convert_imageset writes them."""

from collections.abc import Iterable
from pathlib import Path

import lmdb
import numpy as np

from data.datum import message_class


def write(folder: Path, entries: Iterable[tuple[str, np.ndarray | bytes, int]]) -> None:
    """Write entries (path, RGB pixels (height, width, 3) or an encoded file, label)."""
    folder.mkdir(parents=True)
    with (
        lmdb.open(str(folder), map_size=2**26) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number, (path, image, label) in enumerate(entries):
            datum = message_class()(label=label)
            if isinstance(image, bytes):
                datum.data, datum.encoded = image, True
            else:
                datum.height, datum.width, datum.channels = image.shape
                datum.data = image[:, :, ::-1].transpose(2, 0, 1).tobytes()
            transaction.put(f"{number:08d}_{path}".encode(), datum.SerializeToString())
