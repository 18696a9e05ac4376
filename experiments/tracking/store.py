"""MLflow's store in an SQLite file: made, checked and brought up to date before it is opened.

MLflow makes and migrates its tables in some sixty steps in the file itself, and none of its steps
can be repeated. A process that is stopped among them, or a second one beside it, leaves a file
that no version of MLflow opens again. Here they are made elsewhere and put in place as a whole.
"""

import logging
import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from data.own_folders import temporary_folder
from experiments.errors import ExperimentError
from experiments.store_address import named, sqlite_path, sqlite_uri
from experiments.tracking import sqlite_file

#: Tables that MLflow makes first, before it knows a version of its schema.
_FIRST_TABLES = {"experiments", "runs", "tags", "metrics", "params"}
_VERSION_TABLE = "alembic_version"
#: Where MLflow keeps artifacts when nobody says, below the working folder.
_ARTIFACT_ROOT = "./mlruns"
#: Tables whose rows a user would miss, and how many rows of each MLflow makes itself.
_CONTENT = {"runs": 0, "experiments": 1, "registered_models": 0}
_log = logging.getLogger(__name__)


def check_database(path: Path, uri: str, *, reading: bool = False) -> None:
    """Find out whether ``path`` can be the record's database, without MLflow and in no time.

    Parameters
    ----------
    uri
        How the user has named it, for messages.

    Raises
    ------
    ExperimentError
        When it is something else, is missing, or cannot be written to.
    """
    if not reading:
        _check_writable(path, uri)
    elif not path.is_file():
        raise ExperimentError(f"there is no record {uri}: name one with --tracking-uri")
    names = sqlite_file.tables(path)
    if names - {_VERSION_TABLE} and "experiments" not in names and not names <= _beginning():
        raise ExperimentError(
            f"{path} is a database of another program: name another one with --tracking-uri"
        )


def make_ready(uri: str) -> None:
    """Make the store ``uri`` if it is an SQLite file that is not there, or is of another version.

    Imports MLflow. A half-made store is moved aside, one of an earlier MLflow with runs is migrated
    and a copy of it kept; a warning says so.

    Raises
    ------
    ExperimentError
        When that is not possible.
    """
    named = sqlite_path(uri)
    if named is None:
        return
    from mlflow.store.db.utils import _get_latest_schema_revision

    path, head = named.resolve(), _get_latest_schema_revision()
    if _revision(path) == head:
        return
    if not (os.access(path.parent, os.W_OK) and (os.access(path, os.W_OK) or not path.exists())):
        raise ExperimentError(
            f"{path} is of another version of MLflow and read-only: copy it to a folder of yours"
        )
    try:
        with sqlite_file.locked(path):
            revision = _revision(path)
            if revision == head:  # another process was faster
                return
            if revision is not None:
                _check_known(path, revision)
            if not sqlite_file.tables(path):
                _make(path)
            elif _is_vacant(path):
                _replace_vacant(path)
            else:
                _bring_up_to_date(path, revision)
    except (OSError, sqlite3.Error) as error:
        raise ExperimentError(f"{path} cannot be made ready: {error}") from error


def _check_writable(path: Path, uri: str) -> None:
    if not path.parent.is_dir():
        raise ExperimentError(f"{named(uri)}: there is no folder {path.parent}")
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise ExperimentError(
                f"{named(uri)}: {place} is read-only; a run cannot be recorded there, "
                "name another database or server"
            )


def _beginning() -> set[str]:
    return {*_FIRST_TABLES, _VERSION_TABLE}


def _revision(path: Path) -> str | None:
    """Return the version of the schema of ``path``, or None where there is none."""
    if _VERSION_TABLE not in sqlite_file.tables(path):
        return None
    with closing(sqlite_file.connect(path)) as database:
        row = database.execute(f"SELECT version_num FROM {_VERSION_TABLE}").fetchone()
    return None if row is None else str(row[0])


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with temporary_folder("store") as folder:
        made = folder / "mlflow.db"
        # With the default experiment, which two processes would otherwise make at once.
        SqlAlchemyStore(sqlite_uri(made), _ARTIFACT_ROOT).engine.dispose()
        sqlite_file.put_in_place(made, path)


def _bring_up_to_date(path: Path, revision: str | None) -> None:
    """Migrate a copy of ``path`` and write the result into the file, in one transaction.

    The file stays the same one: a server that has it open must not write to a file without a name.
    """
    with temporary_folder("store") as folder, closing(sqlite_file.connect(path)) as database:
        before = _changes(database)
        copy = folder / "mlflow.db"
        sqlite_file.copy_to(path, copy)
        try:
            _migrate(copy)
        except Exception as error:
            raise ExperimentError(_not_migrated(path, revision, error)) from error
        kept = path.with_name(f"{path.name}.before-{revision}")
        sqlite_file.put_in_place(path, kept)
        if _changes(database) != before:
            raise ExperimentError(
                f"{path} is of an earlier MLflow and another process writes to it: repeat the "
                "command when that has ended"
            )
        with closing(sqlite_file.connect(copy)) as migrated:
            migrated.backup(database)
    _log.warning(
        "%s was of an earlier version of MLflow and is migrated; as it was, it is kept as %s",
        path,
        kept.name,
    )


def _migrate(path: Path) -> None:
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(sqlite_uri(path))
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


def _check_known(path: Path, revision: str) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config

    try:
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(revision)
    except CommandError as error:
        raise ExperimentError(
            f"{path} was made by a newer MLflow than {version('mlflow')}, which cannot read it: "
            "name another one with --tracking-uri"
        ) from error


def _replace_vacant(path: Path) -> None:
    """Make a new store in place of one that nobody would miss and that may be half-made."""
    aside = sqlite_file.move_aside(path)
    _log.warning(
        "%s holds no run and is of another version of MLflow, or was left half-made by a first run "
        "that was stopped: it is kept as %s, and a new one is made",
        path,
        aside.name,
    )
    _make(path)


def _changes(database: sqlite3.Connection) -> int:
    """Return a number that is another one when other connections have written meanwhile."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])


def _is_vacant(path: Path) -> bool:
    there = sqlite_file.tables(path)
    with closing(sqlite_file.connect(path)) as database:
        return all(
            database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] <= usual
            for name, usual in _CONTENT.items()
            if name in there
        )


def _not_migrated(path: Path, revision: str | None, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return (
        f"{path} is of another version of MLflow (schema {revision}) and cannot be brought to that "
        f"of MLflow {version('mlflow')} ({reason}); it is unchanged: name another one with "
        "--tracking-uri"
    )
