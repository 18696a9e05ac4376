"""Addresses of the record: an MLflow server or a database, as the user names it."""

import os
from pathlib import Path
from urllib.parse import unquote

DEFAULT_URI = "sqlite:///mlflow.db"
#: MLflow's variable for where records go.
VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"


def usual_uri() -> str:
    """Return where records go when a command does not say: as everywhere with MLflow."""
    return os.environ.get(VARIABLE, "").strip() or DEFAULT_URI


def sqlite_path(uri: str) -> Path | None:
    """Return the absolute path of the database file of ``uri``, or None for another store."""
    if not uri.startswith(_SQLITE):
        return None
    database = unquote(uri.removeprefix(_SQLITE).partition("?")[0])
    return Path(os.path.expanduser(database)).absolute()  # noqa: PTH111 - Path raises for some


def sqlite_uri(path: Path) -> str:
    """Return the address of the database file ``path``."""
    return _SQLITE + str(path.absolute()).replace("%", "%25").replace("?", "%3F")


def absolute_uri(uri: str) -> str:
    """Return ``uri`` so that it means the same in every working folder."""
    path = sqlite_path(uri)
    if path is None:
        return uri
    _, mark, query = uri.partition("?")
    return sqlite_uri(path) + mark + query


def is_from_variable(uri: str) -> bool:
    """Tell whether ``uri`` is what MLflow's variable says."""
    return os.environ.get(VARIABLE, "").strip() == uri


def named(uri: str) -> str:
    """Return ``uri`` after where the user has named it, for messages."""
    return f"{VARIABLE}={uri}" if is_from_variable(uri) else f"--tracking-uri {uri}"


def is_server(uri: str) -> bool:
    """Tell whether ``uri`` is an MLflow server, not a database."""
    return uri.startswith(("http://", "https://"))


def described(uri: str) -> str:
    """Return what ``uri`` is called in a sentence."""
    return f"the MLflow server {uri}" if is_server(uri) else f"the database {uri}"
