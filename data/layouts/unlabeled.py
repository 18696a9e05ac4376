"""Images whose classes are unknown: all images of a folder, or those that a table lists."""

from collections import Counter
from dataclasses import dataclass

from data.config import DataConfig, Unit
from data.errors import DataError
from data.layouts.label_tables import open_table
from data.layouts.levels import read_levels
from data.layouts.listing import Listing, list_source
from data.layouts.patterns import finder
from data.layouts.table_files import TableFiles
from data.names import one_spelling, visible
from data.schema import HIDDEN, UNUSED


@dataclass(frozen=True)
class Unlabeled:
    """Images of a source, before any pixel is decoded."""

    #: Absolute path or URI of the folder to which paths are relative.
    root: str
    #: Path of each image -> patient, case or lesion; empty if it is unknown.
    images: dict[str, str]
    #: Path, reason and kind (see `data.schema`) of the files and rows that are not images.
    rejects: tuple[tuple[str, str, str], ...]
    #: Unit that the names of patients identify; ``image`` if none is known.
    unit: Unit


def read_unlabeled(config: DataConfig) -> Unlabeled:
    """Return the images of ``config.source`` without searching for classes.

    Patients are read from a table's column, by ``config.group_pattern``, or from the folders if
    they name nothing else.

    Raises
    ------
    DataError
        If the source does not exist, or the table cannot be read.
    """
    listing = list_source(config.source)
    if listing.table is not None:
        return _from_table(listing, listing.table, config)
    return _from_folder(listing, config)


def _from_folder(listing: Listing, config: DataConfig) -> Unlabeled:
    if config.group_pattern is not None:
        find = finder(config.group_pattern, "patient", "--group-pattern")
        images = {path: one_spelling(find(path)) for path in listing.images}
    else:
        images = _by_folder(listing)
    known = {*images}
    rejects = [(path, reason, UNUSED) for path, reason in listing.unusable]
    for path in listing.files:
        if path not in known:
            kind, reason = listing.why_no_image(path)
            rejects.append((path, reason, kind))
    rejects += [(path, reason, HIDDEN) for path, reason in listing.left_out]
    unit: Unit = "patient" if any(images.values()) else "image"
    return Unlabeled(listing.uri, images, tuple(rejects), unit)


def _by_folder(listing: Listing) -> dict[str, str]:
    """Return each image with the patient that its folder names."""
    folders = {path: path.rpartition("/")[0] for path in listing.images}
    places = read_levels(Counter(folders.values()), classes=()).places
    return {path: places[folder].patient for path, folder in folders.items()}


def _from_table(listing: Listing, name: str, config: DataConfig) -> Unlabeled:
    table = open_table(listing, name, config, labeled=False)
    files, columns = table.files, table.columns
    rows = [*table.table.rows()]
    path_of = files.find(cells[columns.path] for _, cells in rows)
    images: dict[str, str] = {}
    rejects = []
    for number, cells in rows:
        place = f"{name}, row {number}"
        path = path_of.get(cells[columns.path])
        group = "" if columns.group is None else one_spelling(cells[columns.group])
        if path is None:
            rejects.append(_without_file(place, cells[columns.path], files))
        elif path in images and group != images[path]:
            raise DataError(
                f"{table.table.name} has two rows with different groups for {visible(path)}: keep "
                "the right one"
            )
        elif path in images:
            rejects.append((place, "names an image a second time", UNUSED))
        else:
            images[path] = group
    if config.group_pattern is not None:
        find = finder(config.group_pattern, "patient", "--group-pattern")
        images = {path: one_spelling(find(path)) for path in images}
    unit: Unit = "image"
    if any(images.values()):
        unit = "patient" if config.group_pattern is not None else columns.unit
    return Unlabeled(listing.uri, images, tuple(rejects), unit)


def _without_file(place: str, name: str, files: TableFiles) -> tuple[str, str, str]:
    if not name:
        return place, "names no image", UNUSED
    if several := files.ambiguous.get(name):
        reason = f"names {visible(name)}, which may be {len(several)} files: write the folder too"
        return place, reason, UNUSED
    return files.relative(name), f"is listed in {place} and was not found", UNUSED
