"""Choice of the way in which an MLflow store is read."""

from urllib.parse import urlparse

from data.store_address import DEFAULT_URI, VARIABLE, is_server, named, sqlite_path, unreachable
from serving.errors import ServingError
from serving.stores import sqlite_file
from serving.stores.base import ModelStore

#: Databases other than SQLite in which MLflow stores records.
_DATABASES = ("postgresql", "mysql", "mssql")


def open_store(uri: str) -> ModelStore:
    """Return the store at ``uri``.

    An SQLite file of the installed MLflow's own version is read directly: importing MLflow takes
    longer than the classification of an image. Any other store is read through MLflow.

    Parameters
    ----------
    uri
        Address of an MLflow database or server.

    Raises
    ------
    ServingError
        If there is no such database, which is not created, or the server does not answer.
    """
    path = sqlite_path(uri)
    if path is not None:
        if not path.is_file():
            raise ServingError(
                f"there is no MLflow database {path}: name the database or server of the model "
                f"with --tracking-uri or {VARIABLE}, or give the folder of the model"
            )
        if sqlite_file.is_current(path):
            return sqlite_file.SqliteFile(uri, path)
    elif is_server(uri):
        if reason := unreachable(uri):
            raise ServingError(
                f"the MLflow server {uri} does not answer ({reason}): start it, or name another "
                f"one with --tracking-uri or {VARIABLE}"
            )
    elif urlparse(uri).scheme.partition("+")[0] not in _DATABASES:
        raise ServingError(
            f"{named(uri)}: records are kept in a database or on an MLflow server; use for example "
            f"{DEFAULT_URI}"
        )
    from serving.stores.mlflow_client import MlflowStore

    return MlflowStore(uri)
