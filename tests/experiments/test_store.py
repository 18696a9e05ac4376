"""The SQLite store is whole or absent, whoever is stopped while making it, or makes it too."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from experiments import sqlite_file
from experiments.errors import ExperimentError
from experiments.store import make_ready
from experiments.store_address import absolute_uri, sqlite_path, sqlite_uri
from experiments.tracking import Recorder, check_reachable

#: A version of MLflow's schema from the middle of its history.
EARLIER = "84291f40a231"


def in_child(work: Callable[[], object]) -> int:
    """Do ``work`` in a process of its own; return the process's id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def earlier_store(path: Path, revision: str = EARLIER) -> None:
    from alembic import command

    engine = utils.create_sqlalchemy_engine(sqlite_uri(path))
    InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(sqlite_uri(path))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_ready(sqlite_uri(path))
    return path


@pytest.mark.parametrize("seconds", [0.1, 0.6])
def test_maker_that_is_killed_leaves_nothing_that_stands_in_the_way(
    tmp_path: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uri = sqlite_uri(tmp_path / "mlflow.db")
    child = in_child(lambda: make_ready(uri))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    assert status_of(child) == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    assert Recorder(uri, "after").open("run", {}, {})


def test_maker_that_is_killed_while_it_puts_the_store_in_place_leaves_none(
    tmp_path: Path, whole: Path
) -> None:
    path = tmp_path / "mlflow.db"

    def stopped() -> None:
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment]
        with sqlite_file.locked(path):
            sqlite_file.put_in_place(whole, path)

    assert status_of(in_child(stopped)) == -signal.SIGKILL
    assert sorted(p.name for p in tmp_path.iterdir()) != []
    with sqlite_file.locked(path):
        sqlite_file.put_in_place(whole, path)
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_processes_that_make_the_same_store_at_once_both_record(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    children = [in_child(lambda: Recorder(uri, "both").open("run", {}, {})) for _ in range(2)]
    assert [status_of(child) for child in children] == [0, 0]
    assert len(Recorder(uri, "both").runs({})) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_half_made_store_is_put_aside_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As version 0.1.0 left it: a column is there and the version does not say so."""
    path = tmp_path / "mlflow.db"
    engine = utils.create_sqlalchemy_engine(sqlite_uri(path))
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE metrics ADD COLUMN step BIGINT")
    check_reachable(sqlite_uri(path))
    assert Recorder(sqlite_uri(path), "new").open("run", {}, {})
    assert len(caplog.messages) == 1
    assert "left half-made" in caplog.text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.aside-1"]


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
        # Who has the file open sees the new content: it is no other file.
        (seen,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    assert seen == utils._get_latest_schema_revision()
    assert MlflowClient(sqlite_uri(path)).get_run("r1").info.run_name == "kept"
    kept = tmp_path / f"mlflow.db.before-{EARLIER}"
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_store_of_a_newer_mlflow_is_left_alone(tmp_path: Path, whole: Path) -> None:
    path = Path(shutil.copy(whole, tmp_path / "mlflow.db"))
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
        (text, "is no SQLite database"),
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
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = tmp_path / "with space %41 ä?.db"
    shutil.copy(whole, odd)
    engine = utils.create_sqlalchemy_engine(sqlite_uri(odd))
    assert utils._get_schema_version(engine) == utils._get_latest_schema_revision()
    engine.dispose()
    assert sqlite_path(sqlite_uri(odd)) == odd
    assert absolute_uri("sqlite:///a.db?timeout=5") == f"sqlite:///{tmp_path}/a.db?timeout=5"
    assert absolute_uri("sqlite:///~/a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
