import os
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from backends.ports import free_port
from data.prepared import PreparedData
from experiments.errors import ExperimentError
from experiments.records import FINISHED
from experiments.tracking.pending_run import PendingRun, send
from experiments.tracking.recorder import Recorder, check_reachable, now_ms
from serving.errors import InputError
from tests.experiments.conftest import Run


def test_server_that_does_not_answer_is_found_before_training(run: Run) -> None:
    began = time.monotonic()
    with pytest.raises(ExperimentError, match="does not answer"):
        run("majority", tracking_uri=f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 10


def test_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"there is no folder .*nowhere"):
        check_reachable(f"sqlite:///{tmp_path}/nowhere/mlflow.db")


@pytest.mark.parametrize("locked", ["mlflow.db", "."])
def test_read_only_record_can_be_read_and_not_recorded_in(
    tmp_path: Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A superuser can write read-only files, so the system's error is simulated."""
    (tmp_path / "mlflow.db").touch()
    place = (tmp_path / locked).resolve()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != place)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(ExperimentError, match=f"{re.escape(str(place))} is read-only"):
        check_reachable(uri)
    check_reachable(uri, reading=True)


def test_plain_folder_as_a_store_is_answered_with_one_that_works(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"use for example sqlite:///mlflow\.db"):
        check_reachable(str(tmp_path))


@pytest.mark.slow
def test_model_and_data_are_there_in_mlflows_own_terms(
    run: Run,
    prepared: PreparedData,
    tracking_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The registered model, loaded only with MLflow, reproduces the recorded predictions.

    Nothing from a project in the user's working folder is added to the record.
    """
    import mlflow

    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / name).write_text('[project]\nname = "private"\nversion = "1"\n')
    monkeypatch.chdir(tmp_path)
    # MLflow writes the address of its store to an environment variable.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (record,) = run(
        "keras_local", name="registered", threshold="sensitivity=0.9", calibration="temperature"
    )
    stored = MlflowClient(tracking_uri).get_run(record.run_id)
    (used,) = stored.inputs.dataset_inputs
    assert stored.data.tags["data.fingerprint"].startswith(used.dataset.digest)
    (version,) = MlflowClient(tracking_uri).search_model_versions("name='registered-keras_local'")
    assert version.run_id == record.run_id
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/registered-keras_local/{version.version}")
    assert model.metadata.metadata["class_names"] == ["all", "hem"]
    kept = MlflowClient(tracking_uri).list_artifacts(record.run_id, "model")
    assert not {"model/uv.lock", "model/pyproject.toml"} & {item.path for item in kept}
    images = prepared.shard("test").read()
    path = MlflowClient(tracking_uri).download_artifacts(
        record.run_id, "predictions.parquet", str(tmp_path)
    )
    expected = pd.read_parquet(path).filter(like="probability_").to_numpy()
    found = model.predict(images.pixels)
    assert stored.data.metrics["decision.temperature"] != 1
    np.testing.assert_allclose(found.filter(like="probability_"), expected, atol=1e-5)
    sick = expected[:, 0] >= stored.data.metrics["decision.threshold"]
    assert found["decision"].tolist() == np.where(sick, "all", "hem").tolist()
    truth = images.labels == 0
    assert stored.data.metrics["test.sensitivity"] == pytest.approx(sick[truth].mean())
    with pytest.raises(InputError, match="floating-point numbers from 0 to 1"):
        model.predict(images.pixels.astype("float64"))
    card = MlflowClient(tracking_uri).download_artifacts(
        record.run_id, "model_card.md", str(tmp_path)
    )
    assert version.description == Path(card).read_text()
    assert f"MLflow run `{record.run_id}`" in version.description
    assert version.tags["decision.rule"] == "sensitivity=0.9"
    assert float(version.tags["test.f1"]) == pytest.approx(stored.data.metrics["test.f1"], abs=1e-4)
    assert not version.aliases


def test_variables_of_mlflow_alter_no_record(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "MLFLOW_TRACKING_URI": "sqlite:////nowhere/mlflow.db",
        "MLFLOW_REGISTRY_URI": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_EXPERIMENT_NAME": "another",
        "MLFLOW_EXPERIMENT_ID": "77",
        "MLFLOW_RUN_ID": "0" * 32,
        "MLFLOW_ACTIVE_MODEL_ID": "m-1",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("{}")
    recorder = Recorder(tracking_uri, "surroundings")
    began = time.monotonic()
    run_id = recorder.open("run", {"seed": "0"}, {"backend": "majority"})
    end = PendingRun(
        tracking_uri=tracking_uri,
        run_id=run_id,
        status=FINISHED,
        metrics={"test.f1": 0.5},
        model_name="surroundings-majority",
        model="model",
        ended_ms=now_ms(),
    )
    send(end, tmp_path, recorder)
    assert time.monotonic() - began < 10
    (only,) = recorder.runs({})
    assert (only.info.run_id, only.info.status) == (run_id, FINISHED)
    assert (only.data.params, only.data.metrics) == ({"seed": "0"}, {"test.f1": 0.5})
    assert not only.inputs.model_inputs
    (registered,) = recorder.client.search_model_versions("name = 'surroundings-majority'")
    assert registered.run_id == run_id
