"""MLflow's store in an SQLite file: created, checked and migrated before it is opened.

MLflow creates and migrates its tables in some sixty steps in the file itself, and none of these
steps can be repeated. If the process is stopped between them, or a second one works on the same
file, no version of MLflow can open the file again. The tables are therefore created in another
file, which then replaces the original atomically.
"""

import logging
import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from data.own_folders import temporary_folder
from data.store_address import named, sqlite_path, sqlite_uri
from experiments.errors import ExperimentError
from experiments.tracking import sqlite_file

#: Tables that MLflow creates first, before it stores a version of its schema.
_FIRST_TABLES = {"experiments", "runs", "tags", "metrics", "params"}
_VERSION_TABLE = "alembic_version"
#: MLflow's default location of artifacts, below the working folder.
_ARTIFACT_ROOT = "./mlruns"
#: Tables with content of the user, and the number of rows of each that MLflow itself creates.
_CONTENT = {"runs": 0, "experiments": 1, "registered_models": 0}
_log = logging.getLogger(__name__)


def check_database(path: Path, uri: str, *, reading: bool = False) -> None:
    """Check that ``path`` can be used as MLflow's database, without importing MLflow.

    Parameters
    ----------
    path
        Path of the SQLite file.
    uri
        Address as given by the user, for messages.
    reading
        If True, the file must exist but need not be writable.

    Raises
    ------
    ExperimentError
        If the file belongs to another program, or cannot be written to; with ``reading``, also if
        it is missing.
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
    """Create the store ``uri`` if it is a missing SQLite file, or migrate it if it is outdated.

    Imports MLflow. An incomplete store is renamed and a new one is created; a store of an earlier
    MLflow with runs is migrated and a copy of it is kept. Both cases are logged as warnings.

    Raises
    ------
    ExperimentError
        If the store cannot be created or migrated.
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
            f"{path} was made by another version of MLflow and is read-only: copy it to a folder "
            "that you can write to"
        )
    try:
        with sqlite_file.locked(path):
            revision = _revision(path)
            if revision == head:  # another process has done it in the meantime
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
        raise ExperimentError(f"{path} cannot be created or migrated: {error}") from error


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
    """Return the version of the schema of ``path``, or None if it has none."""
    if _VERSION_TABLE not in sqlite_file.tables(path):
        return None
    with closing(sqlite_file.connect(path)) as database:
        row = database.execute(f"SELECT version_num FROM {_VERSION_TABLE}").fetchone()
    return None if row is None else str(row[0])


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with temporary_folder("store") as folder:
        made = folder / "mlflow.db"
        # Also creates the default experiment, which two processes would otherwise create at once.
        SqlAlchemyStore(sqlite_uri(made), _ARTIFACT_ROOT).engine.dispose()
        sqlite_file.put_in_place(made, path)


def _bring_up_to_date(path: Path, revision: str | None) -> None:
    """Migrate a copy of ``path`` and write the result into the file, in one transaction.

    The file itself is not replaced, because a server that has it open would continue to write to
    the deleted file.
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
                f"{path} was made by an earlier MLflow, and another process is writing to it: "
                "repeat the command when it has ended"
            )
        with closing(sqlite_file.connect(copy)) as migrated:
            migrated.backup(database)
    _log.warning(
        "%s was made by an earlier version of MLflow and has been migrated; the original is kept "
        "as %s",
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
    """Create a new store in place of one that has no content of the user and may be incomplete."""
    aside = sqlite_file.move_aside(path)
    _log.warning(
        "%s has no runs and was made by another version of MLflow, or is incomplete because a "
        "first run was stopped: it is kept as %s, and a new one is created",
        path,
        aside.name,
    )
    _make(path)


def _changes(database: sqlite3.Connection) -> int:
    """Return a number that changes when another connection writes to the database."""
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
        f"{path} was made by another version of MLflow (schema {revision}) and cannot be migrated "
        f"to that of MLflow {version('mlflow')} ({reason}); it is unchanged: name another one with "
        "--tracking-uri"
    )
