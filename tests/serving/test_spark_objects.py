"""Bulk scoring of images in an object store, with a real server process.

The Java process of Spark passes its environment to the Python workers, so this file must start its
own, and shares no Spark with other tests.
"""

from pathlib import Path

import numpy as np
import pytest

from serving import Classifier
from serving.spark import bulk
from serving.spark.bulk import score
from tests.s3_server import BUCKET, ENVIRONMENT, keys, s3_server, upload


def without_spark(*arguments: object, **options: object) -> None:
    pytest.fail("Spark was used")


@pytest.mark.spark
@pytest.mark.slow
def test_images_and_results_may_be_in_an_object_store(
    recorded_model: Path, cell_files: list[Path], tmp_path: Path, monkeypatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    first = cell_files[0].parent
    files = [path for path in cell_files if path.parent == first][:40]
    with s3_server(tmp_path) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        upload(address, first, "raw cells")
        given = [f"s3://{BUCKET}/raw cells/{path.name}" for path in files]
        given.insert(2, f"s3://{BUCKET}/raw cells/missing.bmp")
        folder = f"s3://{BUCKET}/scores/one"
        table = score(given, recorded_model, folder)
        written = keys(address, "scores")
        monkeypatch.setattr(bulk, "scoring_context", without_spark)
        assert score(given, recorded_model, folder).equals(table)
    assert [key for key in written if not key.endswith("/")] == [
        "scores/one/predictions.parquet",
        "scores/one/request.json",
    ]
    errors = table["error"].to_pylist()
    assert errors.pop(2).startswith("cannot be read: ")
    assert not any(errors)
    assert table["path"].to_pylist() == given
    classifier = Classifier.open(recorded_model)
    expected = classifier.probabilities(files)
    for name, values in zip(classifier.card.class_names, expected.T, strict=True):
        found = np.delete(table[f"probability_{name}"].to_numpy(), 2)
        assert np.abs(found - values).max() < 1e-5
