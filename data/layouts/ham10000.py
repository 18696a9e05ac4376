"""HAM10000: skin photographs in one or several folders, with a metadata table.

Several photographs may show one lesion; which lesions belong to one patient is not published.
"""

import re

from data.config import DataConfig, LayoutName
from data.delimited import Row
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder
from data.layouts.listing import Listing
from data.layouts.paths import stem
from data.names import one_spelling

COLUMNS = ("lesion_id", "image_id", "dx")
NOTE = (
    "HAM10000 publishes no patient ids: photographs are kept together by lesion, and two lesions "
    "of one patient can be on two sides of the split."
)

# Harvard Dataverse publishes the table without a suffix or as .tab, Kaggle as .csv.
_METADATA = re.compile(r"(?:.*/)?HAM10000_metadata(?:\.\w+)?", re.IGNORECASE)
_MASK = "_segmentation"


class Ham10000:
    """The layout ``ham10000``."""

    name: LayoutName = "ham10000"
    expects = "HAM10000_metadata.csv (lesion_id, image_id, dx) with the images in folders below"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether there is a metadata table."""
        return bool(_metadata_files(listing))

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use every image that has a row with a diagnosis and a lesion."""
        tables = _metadata_files(listing)
        if len(tables) != 1:
            found = ", ".join(tables) or "none"
            raise DataError(f"{listing.uri} must hold one HAM10000_metadata.csv; found {found}")
        rows = _read_rows(listing, tables[0])
        builder = IndexBuilder()
        seen = set()
        for path in listing.images:
            name = stem(path)
            row = rows.get(one_spelling(name))
            if name.endswith(_MASK):
                continue
            if row is None:
                builder.reject(path, f"has no row in {tables[0]}")
                continue
            seen.add(row["image_id"])
            if not row["dx"] or not row["lesion_id"]:
                builder.reject(path, f"has no dx or no lesion_id in {tables[0]}")
            else:
                builder.add(path, image_id=name, class_name=row["dx"], patient_id=row["lesion_id"])
        for row in sorted(rows.values(), key=lambda row: row["image_id"]):
            if row["image_id"] not in seen:
                builder.reject(row["image_id"], f"has a row in {tables[0]} and no image")
        return builder.finish(self.name, listing, [NOTE], unit="lesion", tables=tables)


def _metadata_files(listing: Listing) -> list[str]:
    return [path for path in listing.files if _METADATA.fullmatch(path)]


def _read_rows(listing: Listing, table: str) -> dict[str, Row]:
    """Return the rows by normalized image_id.

    Raises
    ------
    DataError
        If the table lacks a column or an image_id, or has rows that contradict each other.
    """
    delimiter = "\t" if table.lower().endswith(".tab") else ","
    rows: dict[str, Row] = {}
    for row in listing.read_rows(table, COLUMNS, delimiter):
        place = f"{listing.uri}/{table}"
        if not row["image_id"]:
            raise DataError(f"{place}, row {row.number} has no image_id")
        first = rows.setdefault(one_spelling(row["image_id"]), row)
        if first.cells != row.cells:
            raise DataError(
                f"{place} has two different rows for the image {row['image_id']}: "
                f"{first.number} and {row.number}"
            )
    return rows
