"""Synthetic data set with the file names and folders of C-NMC, for a first run without data."""

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data import own_folders
from data.addresses import local_path
from data.errors import DataError

#: File in the root of every synthetic set, by which results computed on the set are marked.
NOTICE_FILE = "SYNTHETIC.txt"

#: Part of the folder name of a cached set: increment it when the same parameters give other images.
DRAWING_VERSION = 1

FOLDS = 3
#: Number of cells in one photograph of a smear, which is reflected only in the file names.
CELLS_PER_PHOTOGRAPH = 6

_NOTICE = """\
These are synthetic images, drawn by a program. They show no patient and no real cell, and scores
obtained on them are not evidence about leukemia.

File names and folders are those of the C-NMC 2019 data set: all = drawn as leukemic blasts,
hem = drawn as healthy lymphocytes (patients H...).

Parameters: {parameters}
"""


@dataclass(frozen=True)
class Parameters:
    """Parameters that determine every pixel of a synthetic set."""

    #: The default split then has 16 test patients; confidence intervals need at least 8.
    patients: int = 80
    #: Average number; each patient has between 60 % and 140 % of it.
    cells_per_patient: int = 20
    #: Side of the square images in pixels.
    size: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        if self.patients < 2:
            raise DataError(f"{self.patients} synthetic patients: two classes need at least two")
        if self.cells_per_patient < 1:
            raise DataError(f"{self.cells_per_patient} cells per patient: must be 1 or more")
        if not 16 <= self.size <= 2048:
            raise DataError(f"synthetic images of {self.size} pixels: must be 16 to 2048")
        if not 0 <= self.seed < 2**32:
            raise DataError(f"seed {self.seed}: must be 0 to {2**32 - 1}")

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in asdict(self).items())


def synthesize(
    output: str | Path,
    *,
    patients: int = Parameters.patients,
    cells_per_patient: int = Parameters.cells_per_patient,
    size: int = Parameters.size,
    seed: int = Parameters.seed,
    workers: int = 2,
) -> Path:
    """Draw a synthetic data set as 24-bit BMP files under ``output``.

    Paths are ``training_data/fold_<k>/{all,hem}/UID_<patient>_<photograph>_<cell>_<label>.bmp``,
    with half of the patients in each class. The same parameters give the same files for any number
    of ``workers``. The folder appears only when it is complete.

    Parameters
    ----------
    output
        New or empty folder.
    patients
        Number of patients, at least 2.
    cells_per_patient
        Average number of cells per patient.
    size
        Side of the square images in pixels, 16 to 2048.
    seed
        Random seed.
    workers
        Number of threads.

    Returns
    -------
    pathlib.Path
        Absolute path of ``output``.

    Raises
    ------
    DataError
        If a parameter is invalid, ``output`` is not empty or the disk is full.
    """
    parameters = Parameters(patients, cells_per_patient, size, seed)
    with new_set(output) as (unfinished, target):
        _draw_all(unfinished, parameters, workers)
        write_notice(unfinished, str(parameters))
    return target


@contextmanager
def new_set(output: str | Path) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary folder to draw into, and the absolute path of ``output``.

    The folder is renamed to ``output`` at the end of the block.

    Raises
    ------
    DataError
        If ``output`` is not empty or the disk is full.
    """
    target = local_path(output).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is not empty: choose a new folder for the synthetic cells")
    # The name contains the process id, so that processes drawing the same set do not interfere.
    unfinished = own_folders.unfinished(target)
    own_folders.remove_abandoned_beside(target)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        with own_folders.held(unfinished):
            yield unfinished, target
            _publish(unfinished, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_notice(folder: Path, parameters: str) -> None:
    """Mark ``folder`` as synthetic and record the parameters of its images."""
    notice = _NOTICE.format(parameters=f"{parameters}, drawing version {DRAWING_VERSION}")
    (folder / NOTICE_FILE).write_text(notice)


def synthetic_source(output: str | Path) -> Path:
    """Return the default synthetic set next to the folder ``output``; draw it if it is missing.

    Its name contains a digest of the parameters, so that a set of another version is not used.
    """
    drawing = f"{Parameters()}, drawing version {DRAWING_VERSION}"
    digest = hashlib.sha256(drawing.encode()).hexdigest()[:8]
    source = local_path(output).absolute().parent / f"synthetic-cells-{digest}"
    return source if is_synthetic(source) else synthesize(source)


def is_synthetic(source: str | Path) -> bool:
    """Return whether the folder ``source`` is marked as synthetic."""
    return (Path(source) / NOTICE_FILE).is_file()


def _draw_all(folder: Path, parameters: Parameters, workers: int) -> None:
    for fold in range(FOLDS):
        for label in ("all", "hem"):
            (folder / "training_data" / f"fold_{fold}" / label).mkdir(parents=True)
    # Threads suffice: NumPy, SciPy and Pillow release the interpreter lock for most of the work.
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for _ in pool.map(
            lambda number: _draw_patient(folder, number, parameters), range(parameters.patients)
        ):
            pass


def _draw_patient(folder: Path, number: int, parameters: Parameters) -> None:
    """Draw the cells of patient ``number``, which also determines the class and the fold."""
    from PIL import Image

    from data.synthetic_cells import draw_blocks

    label = ("all", "hem")[number % 2]
    place = number // 2
    patient = f"{'H' if label == 'hem' else ''}{place + 1}"
    generator = np.random.default_rng([parameters.seed, number])
    mean = parameters.cells_per_patient
    cells = max(1, int(generator.integers(round(0.6 * mean), round(1.4 * mean), endpoint=True)))
    blocks = draw_blocks(label, cells, parameters.size, generator)
    target = folder / "training_data" / f"fold_{place % FOLDS}" / label
    for cell, picture in enumerate(itertools.chain.from_iterable(blocks)):
        photograph, position = divmod(cell, CELLS_PER_PHOTOGRAPH)
        name = f"UID_{patient}_{photograph + 1}_{position + 1}_{label}.bmp"
        Image.fromarray(picture).save(target / name)


def _publish(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        if not is_synthetic(target):  # otherwise another process has created the same files
            raise
