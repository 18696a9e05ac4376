"""Parts of the relative path of a file."""

from pathlib import PurePosixPath


def stem(path: str) -> str:
    """Return the file name without folder and last suffix, as ``PurePosixPath.stem`` does.

    A number is not a suffix: the names of DICOM files are identifiers made of numbers and dots.
    """
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 and not name[dot + 1 :].isdigit() else name


def suffix(path: str) -> str:
    """Return the last suffix in lowercase with its dot, or an empty string."""
    return PurePosixPath(path).suffix.lower()


def without_suffix(path: str) -> str:
    """Return the path without its last suffix."""
    if "//" in path or "./" in path:
        path = str(PurePosixPath(path))
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{stem(name)}"
