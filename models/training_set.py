"""Digests of the images and patients with which a model was trained, as a file beside it.

They show whether an image or a patient of another data set was used for training or for choosing
the model, without storing images or names. Short or regular names can be found by trying all of
them: the digests do not make names anonymous.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from data.names import one_spelling
from models.errors import ModelError

#: Name of the file.
TRAINING_SET = "training_set.npz"
#: Number of bytes of a digest that are kept. Among a million images, the probability that an
#: unknown one is taken for a known one is 5e-14.
_PREFIX = 8


@dataclass(frozen=True)
class TrainingSet:
    """Digests of the training and validation images and of their patients."""

    #: First 8 bytes of SHA-256 as big-endian numbers: sorted uint64, shape (n,).
    images: np.ndarray
    #: The same of the names of patients or lesions; empty if the source identifies neither.
    patients: np.ndarray

    def images_known(self, pixels: np.ndarray) -> np.ndarray:
        """Return which prepared images are among the training and validation images.

        Parameters
        ----------
        pixels
            uint8, shape (n, height, width, channels).

        Returns
        -------
        numpy.ndarray
            bool, shape (n,).
        """
        digests = [hashlib.sha256(image.tobytes()).digest() for image in pixels]
        return np.isin(_prefixes(digests), self.images)

    def patients_known(self, names: Sequence[str]) -> np.ndarray:
        """Return which of the named patients or lesions are in the set; bool, shape (n,)."""
        return np.isin(_prefixes(map(_digest, names)), self.patients)


def write(folder: Path, images: Iterable[bytes], patients: Iterable[str]) -> None:
    """Write the digests to ``folder``.

    Parameters
    ----------
    folder
        Folder of the model.
    images
        SHA-256 of the pixels (uint8, row-major) of each prepared training and validation image.
    patients
        Names of their patients or lesions.
    """
    digests = {_digest(name) for name in patients}
    np.savez_compressed(
        folder / TRAINING_SET,
        images=np.unique(_prefixes(images)),
        patients=np.unique(_prefixes(digests)),
    )


def read(folder: Path) -> TrainingSet:
    """Return the digests in ``folder``.

    Raises
    ------
    ModelError
        If the folder has no digests, or the file is damaged.
    """
    try:
        with np.load(folder / TRAINING_SET, allow_pickle=False) as arrays:
            return TrainingSet(arrays["images"], arrays["patients"])
    except FileNotFoundError:
        raise ModelError(
            "this model has no digests of its training images, so it cannot be checked whether "
            "other images were among them"
        ) from None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelError(f"{folder / TRAINING_SET} cannot be read: {error}") from error


def _digest(name: str) -> bytes:
    return hashlib.sha256(one_spelling(name).encode()).digest()


def _prefixes(digests: Iterable[bytes]) -> np.ndarray:
    joined = b"".join(digest[:_PREFIX] for digest in digests)
    return np.frombuffer(joined, ">u8").astype(np.uint64)
