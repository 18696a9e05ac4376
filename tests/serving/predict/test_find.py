"""A model is found by everything that names it, and a wrong name is explained in one line."""

import json
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from data.store_address import sqlite_path
from serving.errors import ServingError
from serving.find import find_model
from serving.stores import open_store
from serving.stores.mlflow_client import MlflowStore
from serving.stores.sqlite_file import SCHEMA, SqliteFile
from tests.serving.predict.conftest import NAME, Recorded

ROOT = Path(__file__).parents[3]


def test_every_form_of_a_name_leads_to_its_version(recorded: Recorded) -> None:
    first, second = recorded.first, recorded.second
    forms = {
        NAME: (2, second),
        f"{NAME}/1": (1, first),
        f"{NAME}/latest": (2, second),
        f"{NAME}@best": (1, first),
        f"models:/{NAME}/1": (1, first),
        f"models:/{NAME}@best": (1, first),
        f"models:/{NAME}": (2, second),
        first: (1, first),
        first[:8]: (1, first),
        second.upper(): (2, second),
    }
    for form, (version, run) in forms.items():
        found = find_model(form, recorded.uri)
        assert (found.name, found.version, found.run_id) == (NAME, version, run), form
        assert found.description == "a model of cells"
        # Artifacts on this machine are used in place.
        assert run in str(found.folder)
        assert (found.folder / "model_card.json").is_file()


def test_address_of_a_run_names_its_artifacts(recorded: Recorded) -> None:
    found = find_model(f"runs:/{recorded.first}/model", recorded.uri)
    assert (found.name, found.version, found.run_id) == ("", None, recorded.first)
    assert found.folder == find_model(f"{NAME}/1", recorded.uri).folder


def test_folders_need_no_store(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder.parents[1], tmp_path / "copy")
    for form in (
        str(model_folder),
        "copy",
        "./copy",
        "copy/artifacts",
        "copy/artifacts/classifier",
    ):
        if form == "copy/artifacts":
            continue
        found = find_model(form)
        assert (found.folder / "model_card.json").is_file()
        assert (found.name, found.version, found.tracking_uri) == ("", None, "")
    assert not (tmp_path / "mlflow.db").exists()


def test_variable_and_working_folder_name_the_store(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServingError, match="there is no MLflow database"):
        find_model(NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded.uri)
    assert find_model(NAME).version == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.copy2(sqlite_path(recorded.uri) or "", tmp_path / "mlflow.db")
    assert find_model(NAME).version == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cells-keras", f"there is no model 'cells-keras' in .*did you mean {NAME}?"),
        (f"{NAME}@beste", f"the model {NAME} has no alias 'beste'; its aliases: best"),
        (f"{NAME}/7", f"the model {NAME} has no version 7; its versions: 1, 2"),
        (f"{NAME}/one", f"{NAME}/one is neither a folder nor a model"),
        ("0123456789abcdef", "there is no model '0123456789abcdef'"),
        ("abc", "at least 6 digits of its id"),
        ("other", "there is no model 'other'"),
        ("./nowhere", "there is no folder nowhere"),
        ("/etc", "/etc has no model card"),
        (__file__, "is a file: give the folder of the model"),
        ("", "the name of the model is empty"),
        ("http://host/model", "http:// addresses are not supported"),
        ("models:/m-0123", "there is no model 'm-0123'"),
    ],
)
def test_wrong_names_are_explained_in_one_line(name: str, message: str, recorded: Recorded) -> None:
    from data.errors import SparkdlError

    with pytest.raises(SparkdlError, match=message) as error:
        find_model(name, recorded.uri)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 2


def test_run_without_a_model_is_named_in_the_message(recorded: Recorded) -> None:
    with pytest.raises(ServingError, match=r"\(comparison-cells\) has no model") as error:
        find_model(recorded.without, recorded.uri)
    assert "\n" not in str(error.value)


def test_beginning_of_several_ids_is_refused_with_the_ids(recorded: Recorded) -> None:
    class Several:
        uri = recorded.uri

        def versions(self, name: str) -> list:
            return []

        def runs(self, beginning: str) -> list:
            return open_store(recorded.uri).runs("")

    from serving import find

    with pytest.raises(ServingError, match=r"\d runs have ids that begin with abcdef: \w+, \w+"):
        find._recorded(Several(), "abcdef")  # type: ignore[arg-type]


def test_missing_store_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=f"there is no MLflow database {tmp_path}/mlflow.db"):
        find_model(NAME)
    with pytest.raises(ServingError, match="there is no MLflow database"):
        find_model(NAME, f"sqlite:///{tmp_path}/none/store.db")
    assert not [*tmp_path.iterdir()]


def test_stores_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"127\.0\.0\.1:1 does not answer"):
        find_model(NAME, "http://127.0.0.1:1")
    with pytest.raises(ServingError, match="records are kept in a database or on an MLflow server"):
        find_model(NAME, "./mlruns")
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(ServingError, match="cannot be read") as error:
        find_model(NAME, f"sqlite:///{tmp_path}/text.db")
    assert "\n" not in str(error.value)


def test_moved_artifacts_are_reported(recorded: Recorded, tmp_path: Path) -> None:
    import sqlite3

    shutil.copy2(sqlite_path(recorded.uri) or "", tmp_path / "moved.db")
    with sqlite3.connect(tmp_path / "moved.db") as database:
        database.execute("UPDATE model_versions SET source = '/gone', storage_location = '/gone'")
    with pytest.raises(ServingError, match="was recorded in /gone, which is not on this machine"):
        find_model(NAME, f"sqlite:///{tmp_path}/moved.db")


def test_file_is_read_as_mlflow_reads_it(recorded: Recorded) -> None:
    direct, client = open_store(recorded.uri), MlflowStore(recorded.uri)
    assert isinstance(direct, SqliteFile)
    assert direct.names() == client.names() == [NAME, "other"]
    for name in (NAME, "other", "none", "it's"):
        assert direct.versions(name) == client.versions(name)
        assert direct.aliases(name) == client.aliases(name)
    for run in (recorded.first, recorded.without, "f" * 32):
        assert direct.versions_of_run(run) == client.versions_of_run(run)
        for beginning in (run, run[:6]):
            assert direct.runs(beginning) == client.runs(beginning)


def test_deleted_versions_and_runs_are_not_found(recorded: Recorded, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    shutil.copy2(sqlite_path(recorded.uri) or "", tmp_path / "deleted.db")
    uri = f"sqlite:///{tmp_path}/deleted.db"
    client = MlflowClient(uri, uri)
    client.delete_model_version(NAME, "2")
    client.delete_run(recorded.without)
    for store in (open_store(uri), MlflowStore(uri)):
        assert [version.number for version in store.versions(NAME)] == [1]
        assert store.runs(recorded.without) == []


def test_schema_is_that_of_the_installed_mlflow() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() == SCHEMA


def test_store_of_another_schema_is_read_through_mlflow(recorded: Recorded, tmp_path: Path) -> None:
    import sqlite3

    shutil.copy2(sqlite_path(recorded.uri) or "", tmp_path / "old.db")
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'older'")
    with pytest.raises(ServingError, match="was made by another version of MLflow") as error:
        find_model(NAME, f"sqlite:///{tmp_path}/old.db")
    assert "\n" not in str(error.value)


def test_remote_artifacts_are_downloaded_once(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.stores.artifacts import folder_of

    calls = []

    def download(artifact_uri: str, dst_path: str, tracking_uri: str) -> str:
        calls.append(artifact_uri)
        source = find_model(f"{NAME}/1", recorded.uri).folder.parents[1]
        return str(shutil.copytree(source, Path(dst_path) / "model"))

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    for _ in range(2):
        folder = folder_of("s3://bucket/model", recorded.uri, "the model")
        assert (folder / "artifacts/classifier/model_card.json").is_file()
        assert folder.is_relative_to(tmp_path / "cache")
    assert calls == ["s3://bucket/model"]


def test_failed_download_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.stores.artifacts import folder_of

    def fail(**_: str) -> str:
        raise OSError("no access\nsecond line")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(ServingError, match=r"cannot be downloaded from s3://b/m: no access$"):
        folder_of("s3://b/m", "sqlite:///x.db", "the model")
    assert not [*(tmp_path / "cache/sparkdl-bench/models").iterdir()]


def test_server_that_answers_with_an_error_is_reported() -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 400)
            self.end_headers()
            self.wfile.write(b"broken")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Broken)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(ServingError, match=r"the MLflow server .* cannot be read") as error:
            find_model(NAME, f"http://127.0.0.1:{server.server_port}")
        assert "\n" not in str(error.value)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_child_process_prints_the_model_and_imports_no_mlflow(recorded: Recorded) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "serving.find", NAME]
    found = subprocess.run(
        [*command, "--tracking-uri", recorded.uri],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    printed = json.loads(found.stdout)
    assert printed["version"] == 2
    assert printed["run_id"] == recorded.second
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert imported.isdisjoint({"mlflow", "tensorflow", "pyspark", "scipy", "sklearn", "pandas"})
    assert "serving" in imported


@pytest.mark.slow
def test_child_process_reports_an_unknown_model(recorded: Recorded) -> None:
    command = [sys.executable, "-m", "serving.find", "none", "--tracking-uri", recorded.uri]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: there is no model 'none'")
    assert found.stderr.count("\n") == 1
