"""Folder on this machine with artifacts: the original one, or a copy of a remote one."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from data.addresses import plain_address
from data.own_folders import held, remove_abandoned_beside, unfinished
from data.store_address import absolute_uri
from serving.errors import ServingError

#: Scheme of an address; a path has none.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
#: Folder of the copies below the user's cache folder.
_COPIES = "sparkdl-bench/models"


def folder_of(address: str, tracking_uri: str, what: str) -> Path:
    """Return the folder with the artifacts at ``address``.

    Artifacts on this machine are used in place. Others are downloaded once; they are kept in the
    user's cache folder (``XDG_CACHE_HOME``), because the artifacts of a run do not change.

    Parameters
    ----------
    address
        Path, or address that MLflow supports.
    tracking_uri
        Store of the artifacts, which may be the server that delivers them.
    what
        Description of the artifacts for messages.

    Raises
    ------
    ServingError
        If there are no such artifacts.
    """
    if _SCHEME.match(address) is None or address.startswith("file:"):
        folder = Path(plain_address(address))
        if not folder.is_dir():
            raise ServingError(
                f"{what} was recorded in {folder}, which is not on this machine: copy it here, or "
                "name another model"
            )
        return folder
    digest = hashlib.sha256(f"{absolute_uri(tracking_uri)}\0{address}".encode()).hexdigest()
    copy = _cache() / _COPIES / digest[:32]
    if not copy.is_dir():
        _download(address, tracking_uri, copy, what)
    return copy


def _cache() -> Path:
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:  # an account without a folder
        raise ServingError(
            "there is no folder for copies of remote models: set XDG_CACHE_HOME"
        ) from error


def _download(address: str, tracking_uri: str, copy: Path, what: str) -> None:
    from data.store_address import prepare_mlflow

    prepare_mlflow()
    from mlflow.artifacts import download_artifacts

    remove_abandoned_beside(copy)
    made = unfinished(copy)
    made.mkdir(parents=True)
    with held(made):
        try:
            downloaded = download_artifacts(
                artifact_uri=address,
                dst_path=str(made),
                tracking_uri=absolute_uri(tracking_uri),
            )
            if not copy.exists():  # another process may have been faster
                Path(downloaded).rename(copy)
        except Exception as error:  # each kind of storage raises errors of its own
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ServingError(f"{what} cannot be downloaded from {address}: {first}") from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
