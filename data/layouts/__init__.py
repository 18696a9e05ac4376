"""Recognition of the folder layout of a source: where images, classes and patients are."""

from collections import Counter
from dataclasses import replace

from data.any_table import workbook
from data.config import DataConfig
from data.dicom import NEEDS_EXTRA, is_available
from data.errors import DataError
from data.formats import IMAGE_SUFFIXES
from data.layouts.base import Index, Layout
from data.layouts.c_nmc import CNmc
from data.layouts.csv_table import CsvTable
from data.layouts.dicom import DicomFolders
from data.layouts.folders import Folders
from data.layouts.ham10000 import Ham10000
from data.layouts.label_tables import undecided, unused_table, workbooks
from data.layouts.listing import Listing, list_source
from data.layouts.lmdb import Lmdb, databases
from data.layouts.malaria import Malaria
from data.names import visible

__all__ = ["LAYOUTS", "Index", "Layout", "read_index"]

#: In the order in which they are tried; the layout that requires least of the names comes last.
LAYOUTS: tuple[Layout, ...] = (
    Lmdb(),
    CNmc(),
    Ham10000(),
    Malaria(),
    CsvTable(),
    DicomFolders(),
    Folders(),
)


def read_index(config: DataConfig) -> Index:
    """Read the images, classes and patients of ``config.source`` from names and tables.

    Raises
    ------
    DataError
        If the folder is missing, contains no images, or matches no layout or not the requested
        one.
    """
    listing = list_source(config.source)
    if not listing.images and listing.table is None and not databases(listing):
        raise DataError(_without_images(config.source, listing))
    layout = _choose(listing, config)
    if config.group_pattern is not None and layout.name not in ("folders", "lmdb"):
        raise DataError(
            f"--group-pattern is for the layouts 'folders' and 'lmdb'; the layout "
            f"'{layout.name}' defines where the patient is found"
        )
    index = layout.read(listing, config)
    if layout.name in ("folders", "dicom") and config.layout is None:
        table = unused_table(listing, config)
        if table is not None:
            line = (
                f"the table {visible(table)} was not used for the labels: --labels "
                f"{listing.uri}/{visible(table)} --label-column NAME uses it"
            )
            index = replace(index, reading=(*index.reading, line))
    if listing.dicom and not is_available():
        note = f"DICOM files that were left out: {len(listing.dicom):,}. {NEEDS_EXTRA}."
        index = replace(index, notes=(*index.notes, note))
    return index


def _without_images(source: str, listing: Listing) -> str:
    """Return the message for a folder without images, with what it contains instead."""
    if listing.dicom and not is_available():
        return f"{source} holds {len(listing.dicom):,} DICOM files. {NEEDS_EXTRA} --data {source}"
    suffixes = ", ".join(IMAGE_SUFFIXES)
    found = Counter(listing.why_no_image(path)[1] for path in listing.files)
    instead = "; ".join(f"{reason} ({number:,} files)" for reason, number in found.most_common(3))
    return f"{source}: no image files ({suffixes}) were found" + (instead and f"; {instead}")


def _choose(listing: Listing, config: DataConfig) -> Layout:
    if config.labels is not None:
        _refuse_labels_against(listing, config)
        return next(known for known in LAYOUTS if known.name == "csv")
    if config.layout is not None:
        layout = next(known for known in LAYOUTS if known.name == config.layout)
        # Any folder may hold class folders, so that layout reports itself what is missing.
        if layout.name != "folders" and not layout.recognises(listing, config):
            raise DataError(
                f"{config.source} does not look like the layout '{layout.name}', "
                f"which expects {layout.expects}"
            )
        return layout
    if Lmdb().recognises(listing, config) and listing.table is None:
        return next(known for known in LAYOUTS if known.name == "lmdb")
    if listing.table is None and config.group_pattern is not None:
        return next(known for known in LAYOUTS if known.name == "folders")
    for layout in LAYOUTS:
        if layout.recognises(listing, config):
            return layout
    if (reason := undecided(listing, config)) is not None:
        raise DataError(reason)
    if found := workbooks(listing):
        raise DataError(workbook(f"{listing.uri}/{found[0]}"))
    expected = "\n".join(f"  {layout.name}: {layout.expects}" for layout in LAYOUTS)
    raise DataError(f"{config.source} fits no layout known here:\n{expected}")


def _refuse_labels_against(listing: Listing, config: DataConfig) -> None:
    """Raise DataError for a table of labels given with a source or a layout that needs none."""
    if config.layout not in (None, "csv"):
        raise DataError(
            f"--labels is a table of the layout 'csv', but --layout is '{config.layout}': omit "
            "one of them"
        )
    if databases(listing) and not listing.images:
        raise DataError(
            f"{config.source}: the labels of an LMDB are in its records: omit --labels, and name "
            "the classes in labels.txt in this folder, one in each line"
        )
    if listing.table is not None:
        raise DataError(
            f"{config.source} is itself a table: with --labels, give the folder of the images"
        )
