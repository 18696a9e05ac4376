"""Thumbnails of selected images as ``data:`` URIs."""

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from data.chunks import read_image
from data.description import Description
from data.images import UnreadableImage, decode
from data.prepared import open_prepared
from data.shards import pixels_of
from data.storage import locate

#: Longer side in pixels.
EDGE = 96
_SHORTEST = 8
#: Color distinguishes stains, so it is stored at full resolution.
_JPEG = {"format": "JPEG", "quality": 88, "subsampling": 0}
#: Files that are read at the same time; reading is limited by the disk or the object store.
_READERS = 8


def thumbnails(description: Description, rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return image_id -> ``data:`` URI of each image that can be read.

    Parameters
    ----------
    description
        Description of the source or the prepared data set of the images.
    rows
        Mappings with image_id and path, and width and height of the file.
    """
    chosen = {row["image_id"]: row for row in rows}
    if description.prepared:
        return _of_prepared(description.source, set(chosen))
    with ThreadPoolExecutor(_READERS) as pool:
        pictures = pool.map(lambda row: _of_file(description.source, row), chosen.values())
        return {name: address for name, address in zip(chosen, pictures, strict=True) if address}


def _of_file(source: str, row: dict[str, Any]) -> str | None:
    filesystem, root = locate(source)
    scale = min(1.0, EDGE / max(row["width"], row["height"]))
    height, width = (max(_SHORTEST, round(row[name] * scale)) for name in ("height", "width"))
    try:
        return _address(decode(read_image(filesystem, root, row["path"]), height, width, "rgb"))
    except UnreadableImage:  # the file has changed since it was measured
        return None


def _of_prepared(uri: str, names: set[str]) -> dict[str, str]:
    data = open_prepared(uri)
    filesystem, root = locate(uri)
    found = {}
    for part in (part for parts in data.summary.files.values() for part in parts):
        table = pq.read_table(
            f"{root}/{part.name}",
            columns=["image_id", "pixels"],
            filters=[("image_id", "in", sorted(names))],
            filesystem=filesystem,
        )
        pixels = pixels_of(table.column("pixels"), data.image_shape)
        for name, image in zip(table.column("image_id").to_pylist(), pixels, strict=True):
            found[name] = _address(image)
    return found


def _address(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    image.thumbnail((EDGE, EDGE))
    buffer = io.BytesIO()
    image.save(buffer, **_JPEG)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
