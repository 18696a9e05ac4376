"""Thumbnails of misclassified images, stored in the record for the report of a comparison."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from data.prepared import PreparedData

#: Name of the artifact with the thumbnails.
THUMBNAILS = "wrong_images.parquet"
_LARGEST = 400  # images
_EDGE = 64  # pixels


def write_thumbnails(
    predictions: pd.DataFrame, predicted: np.ndarray, data: PreparedData, path: Path
) -> None:
    """Write ``image_id``, ``patient_id``, ``label``, ``predicted`` and ``png`` of wrong images.

    At most 400 images are written: those with the highest probability of the wrong class, in
    descending order. Nothing is written for features, which cannot be displayed.

    Parameters
    ----------
    predictions
        Predictions of the test images, in the order of ``data``.
    predicted
        Label that is assigned to each image, shape (n,).
    data
        Data set with the images.
    path
        Parquet file to write.
    """
    from PIL import Image

    if data.dtype != "uint8":
        return
    columns = [f"probability_{name}" for name in data.class_names]
    probabilities = predictions[columns].to_numpy()
    sure = probabilities[np.arange(len(predicted)), predicted]
    wrong = predictions.assign(predicted=predicted, sure=sure)
    wrong = wrong[wrong["predicted"] != wrong["label"]].nlargest(_LARGEST, "sure")
    places = {identity: row for row, identity in enumerate(wrong["image_id"])}
    pictures: list[bytes] = [b""] * len(wrong)
    for block in data.shard("test").blocks():
        for identity, pixels in zip(block.image_ids, block.pixels, strict=True):
            if identity in places:
                image = Image.fromarray(np.squeeze(pixels))
                image.thumbnail((_EDGE, _EDGE))
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                pictures[places[identity]] = buffer.getvalue()
    kept = wrong[["image_id", "patient_id", "label", "predicted"]].assign(png=pictures)
    kept.to_parquet(path, index=False)
