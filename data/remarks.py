"""Remarks on the images of a data set, counted and formatted as notes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data.images import NARROW, REPAIRED, SEVERAL, UNCHECKED

#: Columns of a prepared data set that contain the remarks.
NOTED = ("remarks", "bits")

_WORDS = {
    REPAIRED: "Damaged images that are used as repaired by the decoder",
    UNCHECKED: "JPEG files with rare chroma subsampling, which were not checked for damage",
    SEVERAL: "Files with several images, of which the first is used, or the largest page of a TIFF",
    NARROW: "DICOM files without a window that use less than a quarter of the range of their "
    "BitsStored and have few gray levels",
}
#: Cameras deliver 10 to 14 bits in 16-bit files; a data set that uses 15 is only slightly dark.
_MOST_CAMERA_BITS = 14
_BITS_SHOWN = 8


@dataclass
class Remarks:
    """Number of images for each remark, with the path of one of them as an example."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    #: Number of 16-bit images, and the number of bits that their largest value needs.
    deep_images: int = 0
    deep_bits: int = 0

    def add(self, path: str, remarks: Sequence[str], bits: int | None) -> None:
        """Add the remarks of one image."""
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
                f"The {self.deep_images:,} images of 16 bits use only {self.deep_bits}: no value "
                f"is above {2**self.deep_bits - 1:,}. Scaled by the full range, they have "
                f"{levels} of 256 gray levels; save them scaled to 16 bits, or with their range in "
                "the TIFF tag MaxSampleValue or in a DICOM window."
            )
        return notes

    def _count(self, remark: str, number: int, example: str) -> None:
        self.counts[remark] = self.counts.get(remark, 0) + number
        self.examples.setdefault(remark, example)

    @classmethod
    def together(cls, parts: Iterable["Remarks"]) -> "Remarks":
        """Return the combined remarks of several parts of a data set."""
        total = cls()
        for part in parts:
            for remark, number in part.counts.items():
                total._count(remark, number, part.examples[remark])
            total.deep_images += part.deep_images
            total.deep_bits = max(total.deep_bits, part.deep_bits)
        return total
