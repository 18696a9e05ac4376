"""A CSV file ``path,label,group``, for images that lie in no layout known here."""

import csv
import posixpath

from pyarrow import fs

from data.config import DataConfig, LayoutName
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder, Listing, without_suffix

COLUMNS = ("path", "label", "group")


class CsvTable:
    """The layout ``csv``."""

    name: LayoutName = "csv"
    expects = "a CSV file with the columns path,label,group, or a folder that holds one"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Tell whether a CSV file was named or one at the top has the columns."""
        return listing.table is not None or bool(_fitting(listing))

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Take every row whose image exists; paths start at the CSV file's folder.

        An image below the folder that no row names is a reject, as is a row without an image.
        """
        tables = _fitting(listing) if listing.table is None else [listing.table]
        if len(tables) != 1:
            found = ", ".join(tables) or "none"
            raise DataError(
                f"{listing.uri} must hold one CSV file with the columns {','.join(COLUMNS)}; "
                f"found {found}"
            )
        table = tables[0]
        rows = [(_relative(row["path"], listing), row) for row in listing.read_rows(table, COLUMNS)]
        missing = _missing([path for path, _ in rows], listing)
        _refuse_contradictions(f"{listing.uri}/{table}", rows)
        builder = IndexBuilder()
        for path, row in rows:
            if not (row["path"] and row["label"] and row["group"]):
                builder.reject(path, f"has a row in {table} without path, label or group")
            elif path in missing:
                builder.reject(path, f"is listed in {table} and was not found")
            else:
                builder.add(
                    path,
                    image_id=without_suffix(path),
                    class_name=row["label"],
                    patient_id=row["group"],
                )
        for path in sorted({*listing.images} - {path for path, _ in rows}):
            builder.reject(path, f"has no row in {table}")
        return builder.finish(self.name, listing)


def _refuse_contradictions(table: str, rows: list[tuple[str, dict[str, str]]]) -> None:
    """Raise DataError for an image with two labels or patients: no program knows the true one."""
    said: dict[str, tuple[str, str]] = {}
    for path, row in rows:
        found = row["label"], row["group"]
        if not (path and all(found)):
            continue  # a reject
        first = said.setdefault(path, found)
        if found != first:
            raise DataError(
                f"{table} has two different rows for {path}: label and group "
                f"{' and '.join(first)}, then {' and '.join(found)}; keep the right one"
            )


def _fitting(listing: Listing) -> list[str]:
    """CSV files at the top of the folder whose first line names the three columns."""
    found = []
    for path in listing.tables():
        if "/" in path:
            continue
        with listing.filesystem.open_input_stream(f"{listing.root}/{path}") as stream:
            first_line = stream.read(4096).decode("utf-8-sig", "replace").partition("\n")[0]
        if set(next(csv.reader([first_line]), ())) >= set(COLUMNS):
            found.append(path)
    return found


def _relative(path: str, listing: Listing) -> str:
    """Return ``path`` from the listing's folder where it lies below it, else as it is."""
    if not path:
        return ""
    if "://" not in path:
        path = posixpath.normpath(posixpath.join(listing.root, path))
        return path.removeprefix(f"{listing.root}/")
    return path.removeprefix(f"{listing.uri}/")


def _missing(paths: list[str], listing: Listing) -> set[str]:
    """Return the paths without a file, asking the file system only for those not listed."""
    unlisted = sorted({*paths} - {*listing.files} - {""})
    infos = listing.filesystem.get_file_info([posixpath.join(listing.root, p) for p in unlisted])
    return {
        path for path, info in zip(unlisted, infos, strict=True) if info.type != fs.FileType.File
    }
