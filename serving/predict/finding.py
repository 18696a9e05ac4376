"""Search for the images that the paths of a command name."""

import glob
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import fs

from data.addresses import plain_address
from data.config import Unit
from data.errors import DataError
from data.formats import is_dicom_name, is_image
from data.layouts.paths import without_suffix
from data.layouts.patterns import finder
from data.names import one_spelling
from data.object_store import is_object
from data.storage import absolute, locate
from serving.predict.images import Images, Reject, is_text, shown, table_of
from serving.predict.object_patterns import matching_objects
from serving.predict.sources import is_table, read_source

#: Option that also applies to single files.
_GROUP_PATTERN = "--group-pattern"
_WILDCARDS = "*?["
_NO_TEXT = "its name is no UTF-8 text: rename it"


def find_images(
    paths: Sequence[str],
    options: Mapping[str, Any],
    class_names: Sequence[str],
    *,
    scores: bool = True,
) -> Images:
    """Return the images that ``paths`` name: each file once, in the order of the paths.

    Parameters
    ----------
    paths
        Files, folders with all images below them, tables with a column of paths, patterns with
        ``*``, ``?`` or ``**``, and ``s3://`` addresses of files, prefixes or patterns.
    options
        Options of `data.cli_options.Source` and `data.cli_options.Classes`, as typed. Except
        ``--group-pattern``, they apply to a single folder or table.
    class_names
        Classes of the model; the classes of a single folder or table are compared with them.
    scores
        False ignores the classes that a folder or a table names.

    Raises
    ------
    DataError
        If an option is invalid, or no path names an image.
    """
    if len(paths) == 1 and _kind(paths[0]) in ("folder", "table"):
        return read_source(paths[0], options, class_names, scores=scores)
    for name in options:
        if name != _GROUP_PATTERN:
            raise DataError(f"{name} describes one folder or table: give that alone as PATH")
    search = _Search(options)
    for path in paths:
        search.add(path)
    return search.images(paths)


def is_folder(path: str) -> bool:
    """Return whether ``path`` is a folder or an ``s3://`` prefix."""
    return _kind(path) == "folder"


def _kind(path: str) -> str:
    """Return ``file``, ``folder``, ``table``, ``other`` (a device or a pipe) or ``missing``."""
    if not is_object(path):
        try:
            mode = os.stat(plain_address(path)).st_mode  # noqa: PTH116 - any text
        except (OSError, ValueError):
            return "missing"
        if stat.S_ISDIR(mode):
            return "folder"
        if not stat.S_ISREG(mode):
            return "other"
        return "table" if is_table(path) else "file"
    filesystem, place = locate(path)
    found = filesystem.get_file_info(place).type
    if found == fs.FileType.File:
        return "table" if is_table(path) else "file"
    return "folder" if found == fs.FileType.Directory else "missing"


class _Search:
    """Collects images; a file that several paths name is one image."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        pattern = options.get(_GROUP_PATTERN)
        self._patient = pattern and finder(pattern, "patient", _GROUP_PATTERN)
        self._rows: dict[str, dict[str, Any]] = {}
        self._rejects: dict[str, str] = {}
        self._units: set[Unit] = set()

    def add(self, path: str) -> None:
        """Add what ``path`` names."""
        kind = _kind(path)
        if kind == "missing":
            self._add_pattern(path)
        elif kind == "file":
            self._add_file(path)
        elif kind == "other":
            self._rejects[shown(path)] = "is no regular file"
        else:
            try:
                self._add_source(path)
            except DataError as error:  # the other paths are classified nevertheless
                self._rejects[shown(path)] = str(error).removeprefix(f"{path}: ")

    def images(self, paths: Sequence[str]) -> Images:
        """Return what was added; raise DataError if there is no image."""
        rejects = tuple(Reject(path, reason) for path, reason in self._rejects.items())
        if not self._rows:
            reasons = "; ".join(f"{one.path}: {one.reason}" for one in rejects[:3])
            raise DataError(reasons or f"{', '.join(map(shown, paths))}: no images were found")
        table = table_of([*self._rows.values()])
        known = table.column("patient_id").null_count < table.num_rows
        unit: Unit = "lesion" if self._units == {"lesion"} else "patient"
        return Images(table, rejects, unit=unit if known else "image")

    def _add_pattern(self, path: str) -> None:
        """Add the files and folders that match a pattern, or reject a missing file."""
        is_pattern = any(character in path for character in _WILDCARDS)
        if not is_pattern:
            self._rejects[shown(path)] = "there is no such file or folder"
            return
        if is_object(path):
            found = matching_objects(path)
        else:
            found = sorted(glob.glob(plain_address(path), recursive=True))  # noqa: PTH207 - any text
        for name in found:
            # Other files match by chance, and all folders match ``**``.
            is_image_file = is_image(name) or is_dicom_name(name)
            if is_object(name) and is_image_file:
                self._add_file(name)
            elif is_image_file or (Path(name).is_dir() and not path.endswith("**")):
                self.add(name)
        if not found:
            self._rejects[shown(path)] = "no file matches the pattern"

    def _add_file(self, path: str) -> None:
        if not is_text(path):
            self._rejects[shown(path)] = _NO_TEXT
            return
        patient = one_spelling(self._patient(path)) if self._patient else ""
        address = plain_address(path)
        self._put(address, without_suffix(address), patient or None)

    def _add_source(self, path: str) -> None:
        found = read_source(path, self._options, (), scores=False)
        if found.unit != "image":
            self._units.add(found.unit)
        for row in found.table.to_pylist():
            self._put(row["path"], row["image_id"], row["patient_id"])
        self._rejects |= {one.path: one.reason for one in found.rejects}

    def _put(self, path: str, image_id: str, patient: str | None) -> None:
        place = absolute(path)
        known = self._rows.get(place)
        if known is None:
            row = {"path": path, "image_id": image_id, "patient_id": patient, "class_name": None}
            self._rows[place] = row
        elif known["patient_id"] is None:
            known["patient_id"] = patient
