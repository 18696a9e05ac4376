"""Networks that a container of SageMaker leaves for the job."""

import json
from pathlib import Path

import pytest

from deploy.aws.sagemaker import entry as sagemaker_entry

RUNS = (("keras_local", ""), ("elephas", "1"))


def test_network_of_a_record_that_waits_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run has no id in MLflow if its server was unreachable from the start."""
    known = {"status": "FINISHED", "seed": 0, "tags": {"initial_weights.checksum": "abc"}}
    known["tracking_uri"] = f"sqlite:///{tmp_path}/mlflow.db"
    records = tmp_path / "records.jsonl"
    lines = [{**known, "backend": name, "run_id": identity} for name, identity in RUNS]
    records.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    network = tmp_path / "network"
    network.mkdir()
    (network / "model.keras").write_text("weights")

    def download(run_id: str, **_: str) -> str:
        if not run_id:
            raise ValueError("no run id")
        return str(network)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    sagemaker_entry.keep_models(records, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["elephas-seed0"]
    assert "model.tar.gz lacks the model of keras_local-seed0: no run id" in capsys.readouterr().err
