"""MLflow's SQLite file, read without MLflow, whose import takes seconds.

The tables are those of one version of MLflow's schema. A file of another version is read through
MLflow.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from serving.errors import ServingError
from serving.stores.base import RecordedRun, Version

#: Version of MLflow's schema to which the queries apply.
SCHEMA = "dc11669786a5"  # pragma: allowlist secret
#: MLflow marks deleted versions in this column instead of removing the row.
_DELETED = "Deleted_Internal"
#: Seconds to wait for another process that is writing.
_BUSY_SECONDS = 20.0
_VERSIONS = """
    SELECT v.name, v.version, v.run_id, coalesce(nullif(v.storage_location, ''), v.source),
           coalesce(nullif(v.description, ''), m.description)
    FROM model_versions v JOIN registered_models m USING (workspace, name)
    WHERE {condition} AND v.status = 'READY' AND coalesce(v.current_stage, '') != ?
    ORDER BY v.version
"""


def is_current(path: Path) -> bool:
    """Return whether the file has the schema to which the queries apply."""
    try:
        return _rows(path, "SELECT version_num FROM alembic_version") == [(SCHEMA,)]
    except ServingError:  # MLflow explains what is wrong
        return False


class SqliteFile:
    """Store in the SQLite file ``path``, which is opened for each query and never written."""

    def __init__(self, uri: str, path: Path) -> None:
        self.uri = uri
        self._path = path

    def names(self) -> list[str]:
        """Return the names of all registered models, sorted."""
        rows = _rows(self._path, "SELECT name FROM registered_models ORDER BY name")
        return [str(name) for (name,) in rows]

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, the newest last; empty if there is no such model."""
        return self._versions("v.name = ?", name)

    def aliases(self, name: str) -> dict[str, int]:
        """Return the number of the version of each alias of a model."""
        query = "SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias"
        return {str(alias): int(version) for alias, version in _rows(self._path, query, name)}

    def versions_of_run(self, run_id: str) -> list[Version]:
        """Return the versions that a run has recorded."""
        return self._versions("v.run_id = ?", run_id)

    def runs(self, beginning: str) -> list[RecordedRun]:
        """Return the runs whose id has this beginning, without deleted ones."""
        query = """
            SELECT run_uuid, name, artifact_uri FROM runs
            WHERE substr(run_uuid, 1, ?) = ? AND lifecycle_stage = 'active' ORDER BY start_time
        """
        found = _rows(self._path, query, len(beginning), beginning)
        return [RecordedRun(str(i), name or "", address or "") for i, name, address in found]

    def _versions(self, condition: str, value: str) -> list[Version]:
        found = _rows(self._path, _VERSIONS.format(condition=condition), value, _DELETED)
        return [
            Version(name, int(number), run_id or "", address, description or "")
            for name, number, run_id, address, description in found
        ]


def _rows(path: Path, query: str, *values: Any) -> list[tuple]:
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)) as database:
            return database.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise ServingError(f"the MLflow database {path} cannot be read: {error}") from error
