"""NIH malaria cells: ``cell_images/{Parasitized,Uninfected}/*.png``.

The patient is the number after the first C of the file name. The rest is spelled in many ways
(``C33P1thinF_…``, ``C99P60ThinF_…``, ``C37BP2_thinF_…``, ``C5NThinF_…``); some names start with
the word Parasitized.
"""

import re
from pathlib import PurePosixPath

from data.config import DataConfig, LayoutName
from data.layouts.base import Index, IndexBuilder
from data.layouts.listing import Listing
from data.layouts.paths import stem
from data.names import one_spelling

CLASSES = {"parasitized": "Parasitized", "uninfected": "Uninfected"}

_NAME = re.compile(
    r"(?P<class_name>Parasitized|Uninfected)?(?P<patient>C\d+)[A-Z_].*_cell_\d+", re.IGNORECASE
)


def parse_patient(name: str) -> str | None:
    """Return the patient (``C33``) from the file name of a cell, or None for other names."""
    match = _match(name)
    return match["patient"].upper() if match else None


def photograph_of(image_id: str) -> str:
    """Return the name of the smear photograph that a cell was cropped from."""
    return image_id.removeprefix("Parasitized").rpartition("_cell_")[0]


class Malaria:
    """The layout ``malaria``."""

    name: LayoutName = "malaria"
    expects = "folders Parasitized and Uninfected with images named C<patient>…_cell_<number>.png"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether one of the two class folders contains an image named as a cell."""
        return any(_class_of(path) and parse_patient(path) for path in listing.images)

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use all cells; most patients have infected and uninfected ones."""
        builder = IndexBuilder()
        for path in listing.images:
            class_name, patient = _class_of(path), parse_patient(path)
            if class_name is None:
                builder.reject(path, "does not stand in a folder Parasitized or Uninfected")
            elif patient is None:
                builder.reject(path, "is not named C<patient>…_cell_<number>")
            elif class_name != (_class_in_name(path) or class_name):
                builder.reject(path, f"stands in the folder '{class_name}' against its own name")
            else:
                builder.add(path, image_id=stem(path), class_name=class_name, patient_id=patient)
        return builder.finish(self.name, listing)


def _class_in_name(path: str) -> str | None:
    match = _match(path)
    return CLASSES.get((match["class_name"] or "").lower()) if match else None


def _match(path: str) -> re.Match[str] | None:
    return _NAME.fullmatch(one_spelling(stem(path)))


def _class_of(path: str) -> str | None:
    return CLASSES.get(one_spelling(PurePosixPath(path).parent.name).lower())
