"""Remarks on images that are taken, counted for a whole data set and put into words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data.images import NARROW, REPAIRED, SEVERAL, UNCHECKED

#: Columns of a prepared data set that hold it.
NOTED = ("remarks", "bits")

_WORDS = {
    REPAIRED: "Damaged images that were taken as the decoder repaired them",
    UNCHECKED: "JPEG files of a rare chroma sampling, which were not checked for damage",
    SEVERAL: "Files of several images, of which the first was taken, or the largest page of a TIFF",
    NARROW: "DICOM files without a window that use less than a quarter of the range of their "
    "BitsStored, and have few grey levels",
}
#: Cameras deliver 10 to 14 bits in files of 16; a set that uses 15 is a little dark at most.
_MOST_CAMERA_BITS = 14
_BITS_SHOWN = 8


@dataclass
class Remarks:
    """How many images each remark is made of, with one of them as an example."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    #: Images of 16 bits, and the bits that the largest value of all of them needs.
    deep_images: int = 0
    deep_bits: int = 0

    def add(self, path: str, remarks: Sequence[str], bits: int | None) -> None:
        """Count one image."""
        for remark in remarks:
            self._count(remark, 1, path)
        if bits is not None:
            self.deep_images += 1
            self.deep_bits = max(self.deep_bits, bits)

    def notes(self) -> list[str]:
        """Return one sentence for each remark that occurs."""
        notes = [
            f"{words}: {self.counts[remark]:,} (for example {self.examples[remark]!r})."
            for remark, words in _WORDS.items()
            if remark in self.counts
        ]
        if self.deep_images and self.deep_bits <= _MOST_CAMERA_BITS:
            levels = 2 ** max(self.deep_bits - _BITS_SHOWN, 0) + 1
            notes.append(
                f"The {self.deep_images:,} images of 16 bits use {self.deep_bits} of them: no "
                f"value is above {2**self.deep_bits - 1:,}. Scaled by the full range they have "
                f"{levels} of 256 grey levels; save them scaled to 16 bits, or with their range in "
                "the TIFF tag MaxSampleValue or in a window of DICOM."
            )
        return notes

    def _count(self, remark: str, number: int, example: str) -> None:
        self.counts[remark] = self.counts.get(remark, 0) + number
        self.examples.setdefault(remark, example)

    @classmethod
    def together(cls, parts: Iterable["Remarks"]) -> "Remarks":
        """Return the sum of the remarks on several parts of a data set."""
        total = cls()
        for part in parts:
            for remark, number in part.counts.items():
                total._count(remark, number, part.examples[remark])
            total.deep_images += part.deep_images
            total.deep_bits = max(total.deep_bits, part.deep_bits)
        return total
