"""The SQLite store is complete or absent, despite interrupted or concurrent creation."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from data.store_address import absolute_uri, sqlite_path, sqlite_uri
from experiments.errors import ExperimentError
from experiments.tracking import sqlite_file
from experiments.tracking.recorder import Recorder, check_reachable
from experiments.tracking.store import make_ready

#: An earlier version of MLflow's schema.
EARLIER = "84291f40a231"  # pragma: allowlist secret


#: Starts processes with MLflow imported but without the threads of the test process.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(
    ["experiments.tracking.recorder", "mlflow.store.tracking.sqlalchemy_store"]
)


def make(uri: str, temporary: str) -> None:
    tempfile.tempdir = temporary
    make_ready(uri)


def record(uri: str) -> None:
    Recorder(uri, "both").open("run", {}, {})


def stop_in_place(made: Path, path: Path) -> None:
    """Kill this process when the copy is complete but not yet renamed."""
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment]
    with sqlite_file.locked(path):
        sqlite_file.put_in_place(made, path)


def earlier_store(path: Path, revision: str = EARLIER) -> None:
    from alembic import command

    engine = utils.create_sqlalchemy_engine(sqlite_uri(path))
    InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(sqlite_uri(path))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_maker_that_is_killed_leaves_nothing_that_stands_in_the_way(
    tmp_path: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uri = sqlite_uri(tmp_path / "mlflow.db")
    maker = CLEAN.Process(target=make, args=[uri, str(tmp_path)])
    maker.start()
    while not list(tmp_path.glob("sparkdl-store-*/mlflow.db")):
        time.sleep(0.01)
    time.sleep(seconds)
    maker.kill()
    maker.join()
    assert maker.exitcode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    assert Recorder(uri, "after").open("run", {}, {})


def test_maker_that_is_killed_while_it_puts_the_store_in_place_leaves_none(
    tmp_path: Path, empty_store: Path
) -> None:
    path = tmp_path / "mlflow.db"
    maker = CLEAN.Process(target=stop_in_place, args=[empty_store, path])
    maker.start()
    maker.join()
    assert maker.exitcode == -signal.SIGKILL
    assert [p.name for p in tmp_path.glob("mlflow.db*")] == [f"mlflow.db.unfinished-{maker.pid}"]
    with sqlite_file.locked(path):
        sqlite_file.put_in_place(empty_store, path)
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_processes_that_make_the_same_store_at_once_both_record(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    makers = [CLEAN.Process(target=record, args=[uri]) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0, 0]
    assert len(Recorder(uri, "both").runs({})) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.slow
def test_half_made_store_is_put_aside_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As created by version 0.1.0: a column exists but the schema version does not include it."""
    path = tmp_path / "mlflow.db"
    engine = utils.create_sqlalchemy_engine(sqlite_uri(path))
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE metrics ADD COLUMN step BIGINT")
    check_reachable(sqlite_uri(path))
    assert Recorder(sqlite_uri(path), "new").open("run", {}, {})
    assert len(caplog.messages) == 1
    assert "is incomplete" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.aside-1"]


@pytest.mark.slow
def test_store_of_an_earlier_mlflow_keeps_its_runs_and_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    earlier_store(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO experiments VALUES (1, 'old', '/a', 'active')")
        database.execute(
            "INSERT INTO runs (run_uuid, name, status, experiment_id, lifecycle_stage, user_id, "
            "source_type, source_name, entry_point_name, source_version, start_time, artifact_uri) "
            "VALUES ('r1', 'kept', 'FINISHED', 1, 'active', 'u', 'LOCAL', '', '', '', 0, '/a/r1')"
        )
        database.commit()
        make_ready(sqlite_uri(path))
        # A process with the file open reads the new content, because the file is not replaced.
        (seen,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    assert seen == utils._get_latest_schema_revision()
    assert MlflowClient(sqlite_uri(path)).get_run("r1").info.run_name == "kept"
    kept = tmp_path / f"mlflow.db.before-{EARLIER}"
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_store_of_a_newer_mlflow_is_left_alone(tmp_path: Path, empty_store: Path) -> None:
    path = Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(ExperimentError, match="was made by a newer MLflow"):
        make_ready(sqlite_uri(path))
    assert path.read_bytes() == before


def folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("notes on patients\n" * 100)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE studies (study_id INTEGER)")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (folder, "is a folder"),
        (text, "is not an SQLite database"),
        (foreign, "is a database of another program"),
    ],
)
@pytest.mark.parametrize("reading", [False, True])
def test_what_is_no_store_is_refused_at_once(
    tmp_path: Path, made: Callable[[Path], None], message: str, reading: bool
) -> None:
    made(tmp_path / "mlflow.db")
    uri = sqlite_uri(tmp_path / "mlflow.db")
    if reading and made is folder:
        message = "there is no record"
    began = time.monotonic()
    with pytest.raises(ExperimentError, match=message) as refused:
        check_reachable(uri, reading=reading)
    assert time.monotonic() - began < 1
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "file:///tmp/mlruns", "nothing://host/x", "mlruns"]
)
def test_address_that_keeps_no_record_is_answered_with_one_that_does(uri: str) -> None:
    with pytest.raises(ExperimentError, match=r"use for example sqlite:///mlflow\.db"):
        check_reachable(uri)


def test_address_means_the_same_file_here_and_in_mlflow(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = tmp_path / "with space %41 ä?.db"
    shutil.copy(empty_store, odd)
    engine = utils.create_sqlalchemy_engine(sqlite_uri(odd))
    assert utils._get_schema_version(engine) == utils._get_latest_schema_revision()
    engine.dispose()
    assert sqlite_path(sqlite_uri(odd)) == odd
    assert absolute_uri("sqlite:///a.db?timeout=5") == f"sqlite:///{tmp_path}/a.db?timeout=5"
    assert absolute_uri("sqlite:///~/a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
