"""Addresses of MLflow stores: a server or a database, as given by the user."""

import logging
import os
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote
from urllib.request import urlopen

DEFAULT_URI = "sqlite:///mlflow.db"
#: MLflow's environment variable with the address of the store.
VARIABLE = "MLFLOW_TRACKING_URI"
#: Defaults for MLflow's settings, which the user can override. An unreachable server must not
#: delay a run for MLflow's default of many minutes.
_CLIENT_SETTINGS = {
    # With a server, MLflow otherwise prints addresses to stdout, among the records of --json.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A uv.lock in the working folder does not belong in the record, and names download hosts.
    "MLFLOW_UV_AUTO_DETECT": "false",
    # A server would otherwise send addresses of its store that contain the store's key id, and that
    # this machine may not reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    # No usage data may be sent from machines with images of patients.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_SQLITE = "sqlite:///"
#: Seconds to wait for an MLflow server.
_PATIENCE = 10


def usual_uri() -> str:
    """Return the store used by default: that of MLflow's variable, or ``mlflow.db`` here."""
    return os.environ.get(VARIABLE, "").strip() or DEFAULT_URI


def sqlite_path(uri: str) -> Path | None:
    """Return the absolute path of the SQLite file of ``uri``, or None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    database = unquote(uri.removeprefix(_SQLITE).partition("?")[0])
    return Path(os.path.expanduser(database)).absolute()  # noqa: PTH111 - Path raises for some


def sqlite_uri(path: Path) -> str:
    """Return the address of the SQLite file ``path``."""
    return _SQLITE + str(path.absolute()).replace("%", "%25").replace("?", "%3F")


def absolute_uri(uri: str) -> str:
    """Return ``uri`` with an absolute path, so that it does not depend on the working folder."""
    path = sqlite_path(uri)
    if path is None:
        return uri
    _, mark, query = uri.partition("?")
    return sqlite_uri(path) + mark + query


def is_from_variable(uri: str) -> bool:
    """Return whether ``uri`` is the value of MLflow's variable."""
    return os.environ.get(VARIABLE, "").strip() == uri


def named(uri: str) -> str:
    """Return ``uri`` with the option or variable that gave it, for messages."""
    return f"{VARIABLE}={uri}" if is_from_variable(uri) else f"--tracking-uri {uri}"


def is_server(uri: str) -> bool:
    """Return whether ``uri`` is the address of an MLflow server and not of a database."""
    return uri.startswith(("http://", "https://"))


def described(uri: str) -> str:
    """Return ``uri`` preceded by its kind, for use in a sentence."""
    return f"the MLflow server {uri}" if is_server(uri) else f"the database {uri}"


def prepare_mlflow() -> None:
    """Set MLflow's time limits in this process, and switch off its progress bars and messages."""
    from data import object_store  # imports Arrow

    for name, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    if endpoint := object_store.endpoint():
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", endpoint)
    # The creation of the tables of a new database is not worth logging.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)


def unreachable(server: str) -> str:
    """Return the reason why an MLflow server does not answer; empty if it does."""
    try:
        with closing(urlopen(f"{server.rstrip('/')}/health", timeout=_PATIENCE)):
            return ""
    except (URLError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
