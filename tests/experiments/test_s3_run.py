"""A run with its images, prepared data and artifacts in an object store."""

from pathlib import Path

import mlflow
import pytest

from data.object_store import environment
from experiments.records import FINISHED
from tests.experiments.conftest import Run
from tests.s3_server import BUCKET, ENVIRONMENT, SECRET, client, keys, s3_server, upload


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_executors_read_from_s3_and_artifacts_go_there_without_a_secret(
    run: Run, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in environment():
        monkeypatch.delenv(name)
    uri = f"sqlite:///{tmp_path}/s3.db"
    with s3_server(tmp_path) as address:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": address}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", address)
        upload(address, cells, "raw")
        overrides = {
            "name": "s3",
            "tracking_uri": uri,
            "data": {"source": f"s3://{BUCKET}/raw", "image": {"height": 24, "width": 24}},
            "prepared": f"s3://{BUCKET}/prepared",
            "artifacts": f"s3://{BUCKET}/artifacts",
        }
        (record,) = run("elephas", **overrides)
        assert record.status == FINISHED, record.reason
        left = keys(address, f"artifacts/s3/{record.run_id}/")
        names = {key.rpartition("/")[2] for key in left}
        assert {"predictions.parquet", "plan.json", "worker.log", "MLmodel"} <= names
        assert any(key.endswith("dataset.json") for key in keys(address, "prepared"))
        service = client(address)
        for key in left:
            content = service.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            assert SECRET.encode() not in content, key
        mlflow.set_tracking_uri(uri)
        loaded = mlflow.pyfunc.load_model(f"runs:/{record.run_id}/model")
        assert loaded.metadata.signature is not None
    assert SECRET.encode() not in (tmp_path / "s3.db").read_bytes()
