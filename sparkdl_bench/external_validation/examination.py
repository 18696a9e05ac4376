"""Examination of the pixels of a validation set: digests, and images known from training."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.config import Unit
from models import ModelError, training_set
from serving.predict.local import Seen

#: Number of examples in a sentence.
_SHOWN = 3


class Examination:
    """Collects what the pixels of the images show, batch by batch.

    Parameters
    ----------
    folder
        Folder of the model, with the digests of its training images.
    """

    def __init__(self, folder: Path) -> None:
        #: Row -> SHA-256 of the pixels of its image.
        self.digests: dict[int, bytes] = {}
        self._known: set[int] = set()
        #: Why images cannot be compared with those of the training; empty if they can.
        self._reason = ""
        self._training: training_set.TrainingSet | None = None
        try:
            self._training = training_set.read(folder)
        except ModelError as error:
            self._reason = str(error)

    def add(self, seen: Seen) -> None:
        """Examine a batch of images."""
        for row, pixels in zip(seen.rows, seen.pixels, strict=True):
            self.digests[row] = hashlib.sha256(pixels.tobytes()).digest()
        if self._training is not None:
            known = self._training.images_known(seen.pixels)
            self._known.update(np.asarray(seen.rows)[known].tolist())

    def warnings(
        self, paths: Sequence[str], patients: Sequence[str | None], unit: Unit
    ) -> list[str]:
        """Return what makes the scores too good, one sentence each.

        Parameters
        ----------
        paths, patients
            Path and patient of each row.
        unit
            Unit that the names of patients identify.
        """
        if self._training is None:
            return [f"Images and patients were not compared with the training set: {self._reason}."]
        found = []
        if not self.digests:
            found.append(
                "Images were not compared with the training set, because Spark classified them: "
                "--no-spark compares them."
            )
        if self._known:
            example = paths[min(self._known)]
            found.append(
                f"{len(self._known):,} of {len(self.digests):,} images were used to train or to "
                f"choose the model (for example {example!r}): the scores are too good."
            )
        names = sorted({name for name in patients if name is not None})
        if unit != "image" and names:
            known = [
                name
                for name, is_known in zip(
                    names, self._training.patients_known(names).tolist(), strict=True
                )
                if is_known
            ]
            if known:
                examples = ", ".join(map(repr, known[:_SHOWN]))
                found.append(
                    f"{len(known):,} of {len(names):,} {unit}s have names of {unit}s of the "
                    f"training set (for example {examples}): if they are the same, the scores are "
                    "too good."
                )
        return found

    def duplicates(self, paths: Sequence[str]) -> list[str]:
        """Return a sentence if images occur more than once, else an empty list."""
        counts = Counter(self.digests.values())
        repeated = {digest for digest, number in counts.items() if number > 1}
        if not repeated:
            return []
        extra = sum(counts[digest] - 1 for digest in repeated)
        digest = next(one for one in self.digests.values() if one in repeated)
        same = [paths[row] for row, one in self.digests.items() if one == digest][:2]
        return [
            f"{extra:,} of {len(self.digests):,} images repeat another one, pixel for pixel (for "
            f"example {' = '.join(map(repr, same))}); all are scored."
        ]
