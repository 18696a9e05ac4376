"""Folders and files that operating systems, NAS devices or notebooks create next to images."""

from functools import lru_cache

#: Folders that are never entered, in lower case: thumbnails, recycle bins, and snapshots, which
#: contain all images again. Some of them cannot be listed at all.
_FOLDERS = frozenset(
    (
        "__macosx",
        "__pycache__",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@sharebin",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "found.000",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
        "~snapshot",
    )
)
#: Folders and databases that MLflow keeps in the working folder.
_RECORD_FOLDERS = frozenset(("mlruns", "mlartifacts"))
_RECORD_FILES = ("mlflow.db", ".mlflow.db")  # fmt: skip
_FILES = frozenset(("desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "thumbs.db"))
_OWN_FOLDER = "a system folder: its content is not read"
_RECORD = "a record of MLflow"
_WORKING_FOLDER = "a working folder of this project: its content is not read"
_HIDDEN_FOLDER = "a hidden folder: its content is not read"
_OWN_FILE = "a system file"
_HIDDEN_FILE = "a hidden file"


def is_left_out_folder(name: str) -> bool:
    """Return whether a folder of this name is excluded from data sets."""
    return name.startswith(".") or name.lower() in _FOLDERS or name in _RECORD_FOLDERS


def left_out_folder(path: str) -> str | None:
    """Return the topmost excluded folder above a file, with a trailing slash, or None.

    This is needed for object stores, whose listings contain all objects regardless of folders.
    """
    return _left_out_above(path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _left_out_above(folder: str) -> str | None:
    parts = folder.split("/")
    for number, part in enumerate(parts, start=1):
        if is_left_out_folder(part):
            return "/".join(parts[:number]) + "/"
    return None


def why_left_out(path: str) -> str | None:
    """Return why a file, or a folder (with a trailing slash), is excluded; None if it is not."""
    is_folder = path.endswith("/")
    name = path.rstrip("/").rpartition("/")[2]
    if is_folder:
        if name.startswith("."):
            return _HIDDEN_FOLDER
        if name in _RECORD_FOLDERS:
            return _RECORD
        return _OWN_FOLDER if name.lower() in _FOLDERS else _WORKING_FOLDER
    if name.startswith(_RECORD_FILES):
        return _RECORD
    if name.startswith("."):
        return _HIDDEN_FILE
    return _OWN_FILE if name.lower() in _FILES else None
