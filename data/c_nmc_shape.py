"""Structure of C-NMC 2019: folds, patients and file names of its 15,114 images.

File names are read from a list of the publisher's files if one is given. Otherwise they are
generated from ``c-nmc-counts.tsv``, which contains the number of images and photographs of each
patient in the training folds. The file names of the two test sets (1.bmp and so on) do not identify
patients, so patients are generated in the numbers published by the challenge (A. Gupta and
R. Gupta, "ALL Challenge dataset of ISBI 2019", The Cancer Imaging Archive, 2019).
"""

import csv
import gzip
import itertools
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from data.addresses import local_path
from data.delimited import decoded
from data.errors import DataError
from data.layouts.c_nmc import CLASS_OF_LABEL, parse_name

COUNTS_FILE = Path(__file__).with_name("c-nmc-counts.tsv")
PRELIMINARY_FOLDER = "validation_data/C-NMC_test_prelim_phase_data"
PRELIMINARY_LABELS = f"{PRELIMINARY_FOLDER}_labels.csv"
FINAL_FOLDER = "testing_data/C-NMC_test_final_phase_data"

#: Number of persons and images of a test set, by class.
_PRELIMINARY = {"all": (13, 1219), "hem": (15, 648)}
_FINAL = {"all": (9, 1761), "hem": (8, 825)}
#: First patient number, by class, that is not used by a training patient.
_FIRST_PRELIMINARY = {"all": 53, "hem": 25}
_PHOTOGRAPHS = 36


@dataclass(frozen=True)
class Person:
    """Images of one person, in the order in which they are drawn."""

    label: str
    #: Paths relative to the folder of the data set.
    files: tuple[str, ...]
    #: In the preliminary test set: original name of each of ``files`` in the labels file.
    originals: tuple[str, ...] = ()

    def thinned(self, share: float) -> "Person":
        """Return the person with the fraction ``share`` of the images, at least one."""
        kept = max(1, round(share * len(self.files)))
        return replace(self, files=self.files[:kept], originals=self.originals[:kept])


def people(file_list: str | Path | None, seed: int, share: float = 1.0) -> list[Person]:
    """Return the persons of the training folds, the preliminary and the final test, in this order.

    Parameters
    ----------
    file_list
        Tab-separated table of ``path`` and ``size`` with the publisher's file names, plain or
        gzip-compressed; None generates names.
    seed
        Seed for assigning the numbered files of the test sets to persons.
    share
        Fraction of each person's images to keep.

    Raises
    ------
    DataError
        If the list cannot be read or contains no training image.
    """
    paths = sorted(_made_up() if file_list is None else _listed(local_path(file_list)))
    training = [path for path in paths if "/fold_" in path]
    generator = np.random.default_rng([seed, len(paths)])
    preliminary = _divide(_below(paths, PRELIMINARY_FOLDER), _PRELIMINARY, generator)
    final = _divide(_below(paths, FINAL_FOLDER), _FINAL, generator)
    persons = [*_of_training(training), *_named(preliminary), *final]
    return [person.thinned(share) for person in persons]


def label_rows(persons: Iterable[Person]) -> list[tuple[str, str, str]]:
    """Return the rows of the labels file of the preliminary test, ordered by file number."""
    number = {name: digit for digit, name in CLASS_OF_LABEL.items()}
    rows = [
        (original, PurePosixPath(path).name, number[person.label])
        for person in persons
        for path, original in zip(person.files, person.originals, strict=False)
    ]
    return sorted(rows, key=lambda row: int(PurePosixPath(row[1]).stem))


def _listed(file_list: Path) -> list[str]:
    """Read the publisher's file names, relative to the top-level folder."""
    try:
        content = file_list.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise DataError(f"{file_list}: no such list of files") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file_list} cannot be read as a list of files: {error}") from None
    paths = [line.partition("\t")[0] for line in decoded(content, str(file_list)).splitlines()]
    below = [path.partition("/")[2] for path in paths if path.lower().endswith(".bmp")]
    for path in below:
        # Images are written to these paths, which must not lead out of the data set's folder.
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise DataError(f"{file_list} names a file outside its folder: {path}")
    if not any("/fold_" in path for path in below):
        raise DataError(
            f"{file_list} lists no training image of C-NMC; each line must be path, tab, size, for "
            "example with the path C-NMC_Leukemia/training_data/fold_0/all/UID_1_1_1_all.bmp"
        )
    return [*dict.fromkeys(below)]


def _made_up() -> list[str]:
    paths = []
    with COUNTS_FILE.open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            folder = f"training_data/{row['fold']}/{row['class']}"
            names = _cells(
                row["patient"], row["class"], int(row["images"]), int(row["photographs"])
            )
            paths += [f"{folder}/{name}" for name in names]
    for folder, counts in ((PRELIMINARY_FOLDER, _PRELIMINARY), (FINAL_FOLDER, _FINAL)):
        images = sum(images for _, images in counts.values())
        paths += [f"{folder}/{number}.bmp" for number in range(1, images + 1)]
    return paths


def _cells(patient: str, label: str, images: int, photographs: int) -> list[str]:
    places = [divmod(image, photographs) for image in range(images)]
    return [f"UID_{patient}_{photo + 1}_{cell + 1}_{label}.bmp" for cell, photo in places]


def _below(paths: Iterable[str], folder: str) -> list[str]:
    return [path for path in paths if path.startswith(f"{folder}/")]


def _of_training(paths: Iterable[str]) -> list[Person]:
    files: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        if (cell := parse_name(path)) is None:
            raise DataError(f"{path} is not named UID_<patient>_<image>_<cell>_<all|hem>.bmp")
        files.setdefault((cell.class_name, cell.patient_id), []).append(path)
    return [Person(label, tuple(files[label, patient])) for label, patient in sorted(files)]


def _divide(
    paths: Sequence[str], counts: dict[str, tuple[int, int]], generator: np.random.Generator
) -> list[Person]:
    """Assign files to persons in random order, so that file numbers carry no information."""
    shuffled = [paths[place] for place in generator.permutation(len(paths))]
    sizes, labels = [], []
    for label, (persons, images) in counts.items():
        sizes += [images / persons] * persons
        labels += [label] * persons
    ends = [math.floor(end * len(paths) + 0.5) for end in np.cumsum(sizes) / sum(sizes)]
    borders = itertools.pairwise([0, *ends])
    return [
        Person(label, tuple(shuffled[first:last]))
        for label, (first, last) in zip(labels, borders, strict=True)
        if first < last
    ]


def _named(preliminary: Iterable[Person]) -> list[Person]:
    """Add the original file names of the preliminary test's labels file to its persons."""
    number = dict(_FIRST_PRELIMINARY)
    named = []
    for person in preliminary:
        patient = f"{'H' if person.label == 'hem' else ''}{number[person.label]}"
        number[person.label] += 1
        originals = _cells(patient, person.label, len(person.files), _PHOTOGRAPHS)
        named.append(replace(person, originals=tuple(originals)))
    return named
