"""C-NMC 2019: leukemia cells in ``training_data/fold_k/{all,hem}`` and the preliminary test set.

File names are ``UID_<patient>_<image>_<cell>_<all|hem>.bmp``. The numbers of healthy patients start
with H; 19 numbers occur both with and without it and belong to different people.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from data.config import DataConfig, LayoutName
from data.delimited import Row
from data.errors import DataError
from data.layouts.base import Index, IndexBuilder
from data.layouts.listing import Listing
from data.layouts.paths import stem
from data.names import likeness, one_spelling

PRELIMINARY = "preliminary"
LABELS_COLUMNS = ("Patient_ID", "new_names", "labels")
CLASS_OF_LABEL = {"1": "all", "0": "hem"}

_NAME = re.compile(r"UID_(?P<patient>[Hh]?\d+)_\d+_\d+_(?P<class_name>all|hem)", re.IGNORECASE)
_FOLD = re.compile(r"fold_\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"\d+")


@dataclass(frozen=True)
class Cell:
    """Patient and class, parsed from the official name of an image."""

    patient_id: str
    class_name: str


def parse_name(name: str) -> Cell | None:
    """Read patient and class from an official file name, or return None for other names.

    A lowercase h denotes the same patient as a capital one: one published copy mixes them.
    """
    match = _NAME.fullmatch(one_spelling(stem(name)))
    if match is None:
        return None
    return Cell(match["patient"].upper(), match["class_name"].lower())


def fold_of(path: str) -> str:
    """Return ``fold_0``, ``fold_1``, … from the folders of ``path``, or an empty string."""
    folds = [part for part in path.split("/")[:-1] if _FOLD.fullmatch(part)]
    return folds[-1].lower() if folds else ""


def add_training(builder: IndexBuilder, root: str, paths: Iterable[str]) -> None:
    """Add the images whose file name contains patient and class."""
    for path in paths:
        cell = parse_name(path)
        folder = one_spelling(path.rpartition("/")[0].rpartition("/")[2]).lower()
        if cell is None:
            builder.reject(path, "is not named UID_<patient>_<image>_<cell>_<all|hem>")
        elif folder in CLASS_OF_LABEL.values() and folder != cell.class_name:
            builder.reject(path, f"stands in the folder '{folder}' against its own name")
        else:
            builder.add(
                path,
                image_id=stem(path),
                class_name=cell.class_name,
                patient_id=cell.patient_id,
                fold=fold_of(f"{root}/{path}"),
            )


def add_preliminary(
    builder: IndexBuilder, labels: str, rows: Iterable[Row], numbered: Iterable[str]
) -> list[str]:
    """Add the images of the preliminary test set; return the numbered images outside of it.

    Parameters
    ----------
    builder
        Receives the images and the rejects.
    labels
        Path of the labels file; its images are in the same folder or below it.
    rows
        Rows of the labels file: ``Patient_ID`` holds the original file name, ``new_names`` the
        published one.
    numbered
        Paths of the images whose file name is only a number.
    """
    folder = PurePosixPath(labels).parent
    path_of: dict[str, str] = {}
    other = []
    for path in numbered:
        # The final test set reuses the same numbers and is published without labels.
        if "final" in path.lower() or not PurePosixPath(path).is_relative_to(folder):
            other.append(path)
        elif (name := one_spelling(PurePosixPath(path).name)) in path_of:
            builder.reject(path, f"has the same image name as {path_of[name]}")
        else:
            path_of[name] = path
    seen: dict[str, Row] = {}
    for row in rows:
        name = one_spelling(row["new_names"])
        if seen.setdefault(name, row) is not row:
            _refuse_contradiction(labels, seen[name], row)
            builder.reject(f"{labels}, row {row.number}", "names an image a second time")
            continue
        found = path_of.pop(name, None)
        cell = parse_name(row["Patient_ID"])
        if found is None:
            builder.reject(str(folder / name), f"is listed in {labels} and missing")
        # Spreadsheets may turn the label 1 into 1.0, hence `likeness`.
        elif cell is None or cell.class_name != CLASS_OF_LABEL.get(likeness(row["labels"])):
            builder.reject(found, f"{labels} calls it {row['Patient_ID']}, label {row['labels']}")
        else:
            builder.add(
                found,
                image_id=stem(row["Patient_ID"]),
                class_name=cell.class_name,
                patient_id=cell.patient_id,
                fold=PRELIMINARY,
            )
    for path in path_of.values():
        builder.reject(path, f"has no row in {labels}")
    return other


def _refuse_contradiction(labels: str, first: Row, row: Row) -> None:
    if first.cells != row.cells:
        raise DataError(
            f"{labels} has two different rows for {row['new_names']}, {first.number} and "
            f"{row.number}; keep the right one"
        )


def photograph_of(image_id: str) -> str:
    """Return the patient and the number of the smear photograph that a cell was cropped from."""
    return "_".join(image_id.upper().split("_")[1:3])


class CNmc:
    """The layout ``c-nmc``."""

    name: LayoutName = "c-nmc"
    expects = "images named UID_<patient>_<image>_<cell>_<all|hem>.bmp"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether an image has an official name or there is a preliminary labels file."""
        named = any(parse_name(path) is not None for path in listing.images)
        return named or bool(_label_files(listing))

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Read the training folds and the preliminary test set; the final test has no labels."""
        builder = IndexBuilder()
        numbered = [path for path in listing.images if _NUMBERED.fullmatch(stem(path))]
        known = set(numbered)
        add_training(builder, listing.root, (p for p in listing.images if p not in known))
        for labels in _label_files(listing):
            rows = listing.read_rows(labels, LABELS_COLUMNS)
            numbered = add_preliminary(builder, labels, rows, numbered)
        builder.refuse_mixed_patients(
            "a patient either has leukemia or not; was the H of healthy patients removed from "
            "the file names?"
        )
        notes = []
        if numbered:
            notes.append(
                f"{len(numbered)} numbered images were left out because no labels file lists them "
                "(the final test set is published without labels)."
            )
        return builder.finish(self.name, listing, notes)


def _label_files(listing: Listing) -> list[str]:
    return [
        path for path in listing.tables() if path.lower().endswith("prelim_phase_data_labels.csv")
    ]
