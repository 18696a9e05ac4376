"""What every layout gets (a listing of names) and gives (an index of images)."""

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import fs

from data.config import DataConfig, LayoutName
from data.errors import DataError
from data.schema import INDEX_SCHEMA, REJECT_SCHEMA
from data.storage import locate, read_bytes
from data.walk import files_below

_NO_TEXT = "its name is no UTF-8 text: rename it"
_NO_FILE = "is no regular file, or a link to nowhere"
IMAGE_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class Listing:
    """The names of all files below a folder; no file is opened to make it."""

    #: The folder: an absolute path, or a URI as it was given.
    uri: str
    filesystem: fs.FileSystem
    #: The folder's path on ``filesystem``.
    root: str
    #: Paths below the folder, sorted, without hidden files.
    files: tuple[str, ...]
    #: Bytes of each of ``files``, in their order.
    sizes: tuple[int, ...] = field(default=(), repr=False)
    #: Names of what is there and cannot be taken for a file, each with the reason.
    unusable: tuple[tuple[str, str], ...] = ()
    #: The one file that was named as the source, if it was not a folder.
    table: str | None = None

    @property
    def images(self) -> list[str]:
        """The files that are images by their suffix, in any case."""
        return [path for path in self.files if path.lower().endswith(IMAGE_SUFFIXES)]

    def tables(self) -> list[str]:
        """The CSV files."""
        return [path for path in self.files if path.lower().endswith(".csv")]

    def read_rows(
        self, path: str, columns: Collection[str], delimiter: str = ","
    ) -> list[dict[str, str]]:
        """Return the rows of a table below the folder; empty cells are empty strings.

        Raises
        ------
        DataError
            When it is not UTF-8 or lacks one of ``columns``.
        """
        try:
            text = read_bytes(self.filesystem, f"{self.root}/{path}").decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{self.uri}/{path} is not UTF-8 text; save it as UTF-8") from None
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        found = reader.fieldnames or ()
        if not set(found) >= set(columns):
            raise DataError(
                f"{self.uri}/{path} must have the columns {', '.join(columns)}; "
                f"it has {', '.join(found) or 'none'}"
            )
        return [{name: (row[name] or "").strip() for name in columns} for row in reader]


@dataclass(frozen=True)
class Index:
    """The images of a source with their classes and patients, before any pixel is decoded."""

    #: Columns of `data.schema.INDEX_SCHEMA`, sorted by image_id.
    table: pa.Table
    #: Columns of `data.schema.REJECT_SCHEMA`.
    rejects: pa.Table
    layout: str
    #: The folder that the column ``path`` starts from: an absolute path or a URI.
    root: str
    #: Facts that a reader of a result should know, one sentence each.
    notes: tuple[str, ...] = ()
    #: Bytes of each file below ``root``.
    sizes: Mapping[str, int] = field(default_factory=dict, repr=False)


class Layout(Protocol):
    """A way in which publishers and users lay out classes and patients in folders."""

    @property
    def name(self) -> LayoutName:
        """The layout's name in configurations."""

    @property
    def expects(self) -> str:
        """What a folder must hold, for people."""

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Tell whether the names look like this layout."""

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Return the index; raise DataError when the folder contradicts the layout."""


@dataclass
class IndexBuilder:
    """Collects images and rejects; the first image of a name is taken, a second is rejected."""

    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _rejects: list[dict[str, str]] = field(default_factory=list)

    def add(
        self, path: str, *, image_id: str, class_name: str, patient_id: str, fold: str = ""
    ) -> None:
        """Take an image."""
        taken = self._rows.get(image_id)
        if taken is not None:
            self.reject(path, f"has the same image name as {taken['path']}")
            return
        self._rows[image_id] = {
            "image_id": image_id,
            "path": path,
            "class_name": class_name,
            "patient_id": patient_id,
            "group": patient_id,
            "fold": fold,
        }

    def reject(self, path: str, reason: str) -> None:
        """Leave out a file or a row of a table."""
        self._rejects.append({"path": path, "reason": reason})

    def refuse_mixed_patients(self, advice: str) -> None:
        """Raise DataError when a patient stands in two classes, with ``advice`` on the cause."""
        classes: dict[str, str] = {}
        for row in self._rows.values():
            patient, name = row["patient_id"], row["class_name"]
            if classes.setdefault(patient, name) != name:
                raise DataError(
                    f"patient {patient} stands in the classes '{classes[patient]}' and '{name}' "
                    f"(for example {row['path']}): {advice}"
                )

    def finish(self, layout: LayoutName, listing: Listing, notes: Iterable[str] = ()) -> Index:
        """Return the index; raise DataError when not one image was taken."""
        notes = tuple(notes)
        for name, reason in listing.unusable:
            self.reject(name, reason)
        if not self._rows:
            reasons = [f"{reject['path']}: {reject['reason']}" for reject in self._rejects[:3]]
            raise DataError(
                f"{listing.uri}: no image can be used with the layout '{layout}'; "
                + "; ".join([*reasons, *notes])
            )
        rows = sorted(self._rows.values(), key=lambda row: row["image_id"])
        return Index(
            pa.Table.from_pylist(rows, INDEX_SCHEMA),
            pa.Table.from_pylist(self._rejects, REJECT_SCHEMA),
            layout,
            listing.uri,
            notes,
            dict(zip(listing.files, listing.sizes, strict=True)),
        )


def list_source(uri: str) -> Listing:
    """List all files below ``uri``, or below the folder of the CSV file that it names.

    Raises
    ------
    DataError
        When there is nothing at ``uri`` or nothing that can be listed.
    """
    try:
        filesystem, root = locate(uri)
        source = filesystem.get_file_info(root)
        table = None
        if source.type == fs.FileType.NotFound:
            raise DataError(f"{uri}: there is no such folder")
        if source.type == fs.FileType.File:
            if not root.lower().endswith(".csv"):
                raise DataError(f"{uri} is a file; give a folder with images or a CSV file")
            root, _, table = root.rpartition("/")
        sizes = _sizes_below(filesystem, root)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{uri} cannot be listed: {error}") from None
    visible = sorted(name for name in sizes if not _is_hidden(name))
    files = {name: size for name in visible if _is_text(name) and (size := sizes[name]) is not None}
    unusable = tuple(
        (_shown(name), _NO_FILE if _is_text(name) else _NO_TEXT)
        for name in visible
        if name not in files
    )
    folder = root
    if "://" in uri:
        folder = uri.rstrip("/").removesuffix(f"/{table}")
    return Listing(folder, filesystem, root, tuple(files), tuple(files.values()), unusable, table)


def _sizes_below(filesystem: fs.FileSystem, root: str) -> dict[str, int | None]:
    if isinstance(filesystem, fs.LocalFileSystem):
        return files_below(root)
    infos = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    start = len(root.rstrip("/")) + 1
    return {info.path[start:]: info.size for info in infos if info.type == fs.FileType.File}


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _is_hidden(path: str) -> bool:
    parts = path.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def stem(path: str) -> str:
    """Return the file name without folder and last suffix."""
    return PurePosixPath(path).stem


def suffix(path: str) -> str:
    """Return the last suffix in small letters with its dot, or an empty string."""
    return PurePosixPath(path).suffix.lower()


def without_suffix(path: str) -> str:
    """Return the path without its last suffix."""
    return str(PurePosixPath(path).with_suffix(""))
