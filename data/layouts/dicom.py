"""DICOM files in class folders, with the patient in the file headers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from data.config import DataConfig, LayoutName, Unit
from data.dicom import is_available, read_headers
from data.layouts.base import Index, IndexBuilder
from data.layouts.folders import locate_classes
from data.layouts.listing import Listing
from data.layouts.paths import without_suffix


class DicomFolders:
    """The layout ``dicom``."""

    name: LayoutName = "dicom"
    expects = "one folder for each class, with DICOM files that contain a PatientID"

    def recognises(self, listing: Listing, config: DataConfig) -> bool:
        """Return whether most images are DICOM files and two class folders contain images."""
        if not is_available() or len(listing.dicom) * 2 < len(listing.images):
            return False
        classes = {class_name for class_name, _ in locate_classes(listing.images)}
        return bool(listing.dicom) and len(classes - {""}) > 1

    def read(self, listing: Listing, config: DataConfig) -> Index:
        """Use every image in a class folder; files without pixels or with frames are rejects."""
        images = listing.images
        placed = dict(zip(images, locate_classes(images), strict=True))
        patients = read_patients(listing, images, lambda path: _folder(path, placed[path][0]))
        builder = IndexBuilder()
        for path, (class_name, part) in placed.items():
            if not class_name:
                builder.reject(path, "does not stand in a class folder with a name")
            elif path in patients.problems:
                builder.reject(path, patients.problems[path])
            else:
                image_id = without_suffix(path)
                builder.add(
                    path,
                    image_id=image_id,
                    class_name=class_name,
                    patient_id=patients.names.get(path, image_id),
                    fold=part,
                )
        index = builder.finish(self.name, listing, patients.notes, unit=patients.unit)
        return replace(index, reading=_reading(index))


@dataclass(frozen=True)
class Patients:
    """Patients of the images of a source, as far as DICOM headers or folders name them."""

    #: Path -> patient, without the images whose patient is unknown.
    names: dict[str, str]
    #: Path -> why a DICOM file is not a usable image.
    problems: dict[str, str]
    unit: Unit
    notes: tuple[str, ...]


def read_patients(
    listing: Listing, paths: Sequence[str], folder_of: Callable[[str], str] = lambda path: ""
) -> Patients:
    """Read the headers of the DICOM files among ``paths``.

    Parameters
    ----------
    listing
        The files of the source.
    paths
        Images, relative to the root of ``listing``.
    folder_of
        Returns the folder of an image that identifies its patient if the header does not; an
        empty string if there is no such folder.
    """
    files = [path for path in paths if path in listing.dicom]
    headers = dict(zip(files, read_headers(listing.filesystem, listing.root, files), strict=True))
    problems = {path: h.problem for path, h in headers.items() if h.problem is not None}
    usable = [path for path in paths if path not in problems]
    names = {path: headers[path].patient for path in usable if path in headers}
    names = {path: patient for path, patient in names.items() if patient}
    notes = []
    if len({*names.values()}) == 1 and len(names) > 1:
        notes.append(
            f"All {len(names):,} DICOM files with a PatientID have the same one "
            f"({next(iter(names.values()))!r}); it is treated as an anonymization placeholder."
        )
        names = {}
    unknown = [path for path in usable if path not in names]
    if unknown and (found := _by_folder(unknown, folder_of)):
        notes.append(
            f"Images without a PatientID, grouped by the folder below their class: "
            f"{len(unknown):,} (for example {unknown[0]!r} by {found[unknown[0]]!r})."
        )
        names |= found
    elif unknown and names:
        notes.append(
            f"Images without a PatientID, each treated as a separate patient: "
            f"{len(unknown):,} (for example {unknown[0]!r})."
        )
    return Patients(names, problems, "patient" if names else "image", tuple(notes))


def _by_folder(paths: Sequence[str], folder_of: Callable[[str], str]) -> dict[str, str]:
    """Return path -> folder if all images have one and there are several, else an empty dict."""
    found = {path: folder_of(path) for path in paths}
    return found if all(found.values()) and len({*found.values()}) > 1 else {}


def _folder(path: str, class_name: str) -> str:
    """Return the folder below the class folder of an image, empty if there is none."""
    folders = path.split("/")[:-1]
    below = folders[folders.index(class_name) + 1 :] if class_name in folders else []
    return below[0] if below else ""


def _reading(index: Index) -> tuple[str, ...]:
    """Return how the folder was interpreted, and the options that change it."""
    classes, patients = (
        pc.count_distinct(index.table.column(name)).as_py() for name in ("class_name", "patient_id")
    )
    images = f"{index.table.num_rows:,} images"
    if index.unit == "image":
        return (
            f"read as DICOM files in class folders: {classes} classes, {images}",
            "no header names a patient: each image is its own group, and images of one patient "
            "may be on both sides of the split; --group-pattern finds the patient in the paths",
        )
    return (
        f"read as DICOM files in class folders: {classes} classes, {patients:,} patients by "
        f"PatientID, {images}",
        "other patients: --group-pattern; other labels: --labels",
    )
