"""Description of the images of a source or a prepared data set: counts, rejects and notes."""

from dataclasses import dataclass
from statistics import median

import pyarrow as pa

from data.config import Unit


@dataclass(frozen=True)
class Counts:
    """Numbers of images and patients of one class, in total or in one part of the split."""

    class_name: str
    images: int
    patients: int
    #: Number of photographs from which the images were cut; None if the names do not contain it.
    photographs: int | None
    #: Number of images of each patient, in the order of the patients' names.
    images_per_patient: tuple[int, ...]

    @property
    def fewest(self) -> int:
        """Minimum number of images per patient."""
        return min(self.images_per_patient, default=0)

    @property
    def median(self) -> float:
        """Median number of images per patient."""
        return float(median(self.images_per_patient or (0,)))

    @property
    def most(self) -> int:
        """Maximum number of images per patient."""
        return max(self.images_per_patient, default=0)


@dataclass(frozen=True)
class Description:
    """Description of a source or a prepared data set."""

    source: str
    layout: str
    synthetic: bool
    prepared: bool
    #: Unit that ``patient_id`` identifies: ``image`` if no patients are known, in which case
    #: patients are not mentioned.
    unit: Unit
    #: Counts of each class, in label order.
    classes: tuple[Counts, ...]
    total: Counts
    #: Mapping from split to counts by class, followed by the total; empty for a source that is not
    #: divided yet.
    splits: dict[str, tuple[Counts, ...]]
    #: Columns of `data.schema.REJECT_SCHEMA`.
    rejects: pa.Table
    notes: tuple[str, ...]
    #: Columns image_id, path, class_name and patient_id of every image.
    table: pa.Table
    #: How the source was read, and the options for reading it in another way, one line each.
    reading: tuple[str, ...] = ()

    @property
    def group_word(self) -> str:
        """Plural of the unit."""
        return f"{self.unit}s"

    @property
    def has_patients(self) -> bool:
        """True if the source identifies patients or lesions."""
        return self.unit != "image"
