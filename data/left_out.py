"""Folders and files that an operating system, a NAS or a notebook puts beside images."""

from functools import lru_cache

#: Folders that are not entered, whatever lies in them, in small letters: thumbnails, recycle bins,
#: and snapshots, which show all images again. Some may not be listed at all.
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
#: Folders and databases of MLflow, which keeps them in the working folder.
_RECORD_FOLDERS = frozenset(("mlruns", "mlartifacts"))
_RECORD_FILES = ("mlflow.db", ".mlflow.db")  # fmt: skip
_FILES = frozenset(("desktop.ini", "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "thumbs.db"))
_OWN_FOLDER = "a folder of the system: what lies in it is not looked at"
_RECORD = "a record of MLflow"
_WORKING_FOLDER = "a working folder of this project: what lies in it is not looked at"
_HIDDEN_FOLDER = "a hidden folder: what lies in it is not looked at"
_OWN_FILE = "a file of the system"
_HIDDEN_FILE = "a hidden file"


def is_left_out_folder(name: str) -> bool:
    """Tell whether a folder of this name holds no image of a data set."""
    return name.startswith(".") or name.lower() in _FOLDERS or name in _RECORD_FOLDERS


def left_out_folder(path: str) -> str | None:
    """Return the path of the first folder above a file that is left out, with a slash at its end.

    An object store has no folders to enter or not: all its names are seen.
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
    """Return why a file, or a folder with a slash at its end, is left out; None if it is not."""
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
