"""Synthetic set with the structure of C-NMC 2019 for load tests: 15,114 images, 9 GB of BMP."""

import csv
import itertools
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from data.c_nmc_shape import PRELIMINARY_LABELS, Person, label_rows, people
from data.errors import DataError
from data.layouts.c_nmc import LABELS_COLUMNS
from data.synthetic import Parameters, new_set, write_notice

OFFICIAL_SIZE = 450
#: Maximum size at which cells are drawn; larger images are upscaled. At the official size, the
#: noise of chromatin and grain is smooth, and drawing it takes ten times as long.
DRAWN_SIZE = 150


def synthesize_c_nmc(
    output: str | Path,
    *,
    file_list: str | Path | None = None,
    size: int = OFFICIAL_SIZE,
    share: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw images with the folders, file names and labels file of C-NMC 2019 under ``output``.

    The set consists of three training folds, the preliminary test with its labels file, and the
    final test without one. The same arguments give the same files for any number of ``workers``.
    The folder appears only when it is complete.

    Parameters
    ----------
    output
        New or empty folder.
    file_list
        List of the publisher's file names, see `data.c_nmc_shape.people`.
    size
        Side of the square images in pixels.
    share
        Fraction of each person's images to draw, above 0 and at most 1.
    seed
        Random seed.
    workers
        Number of processes; None uses one per core.
    progress
        Callback that receives the number of drawn images and the total.

    Returns
    -------
    pathlib.Path
        Absolute path of ``output``.

    Raises
    ------
    DataError
        If an argument is invalid, ``output`` is not empty or the disk is too small.
    """
    Parameters(size=size, seed=seed)  # validates both
    if not 0 < share <= 1:
        raise DataError(f"share of the images {share}: must be more than 0 and at most 1")
    persons = people(file_list, seed, share)
    total = sum(len(person.files) for person in persons)
    with new_set(output) as (unfinished, target):
        _check_space(target, total * _bmp_bytes(size))
        for path in {str(Path(file).parent) for person in persons for file in person.files}:
            (unfinished / path).mkdir(parents=True, exist_ok=True)
        _draw_all(unfinished, persons, (size, seed), workers or os.cpu_count() or 1, progress)
        _write_labels(unfinished, persons)
        names = "from the publisher's list" if file_list else "generated"
        write_notice(
            unfinished, f"like=c-nmc, names {names}, size={size}, share={share}, seed={seed}"
        )
    return target


def _bmp_bytes(size: int) -> int:
    """Return the size of a file in bytes: rows of 3-byte pixels are padded to 4-byte words."""
    return 54 + size * (-(-3 * size // 4) * 4)


def _check_space(target: Path, needed: int) -> None:
    existing = next(folder for folder in target.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{target} would take {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free: reduce "
            "--size or --share, or choose a folder on another disk"
        )


def _draw_all(
    folder: Path,
    persons: list[Person],
    size_and_seed: tuple[int, int],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    total, done = sum(len(person.files) for person in persons), 0
    # A fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        numbered = sorted(enumerate(persons), key=lambda pair: -len(pair[1].files))
        drawn = [
            pool.submit(_draw_person, folder, number, person, *size_and_seed)
            for number, person in numbered
        ]
        try:
            for future in as_completed(drawn):
                done += future.result()
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _draw_person(folder: Path, number: int, person: Person, size: int, seed: int) -> int:
    """Draw all images of one person; return their number."""
    from PIL import Image

    from data.synthetic_cells import draw_blocks

    generator = np.random.default_rng([seed, number])
    blocks = draw_blocks(person.label, len(person.files), min(size, DRAWN_SIZE), generator)
    pictures = itertools.chain.from_iterable(blocks)
    for file, pixels in zip(person.files, pictures, strict=True):
        picture = Image.fromarray(pixels)
        if size > DRAWN_SIZE:
            picture = picture.resize((size, size), Image.Resampling.BICUBIC)
        picture.save(folder / file)
    return len(person.files)


def _write_labels(folder: Path, persons: list[Person]) -> None:
    rows = label_rows(persons)
    if not rows:
        return
    with (folder / PRELIMINARY_LABELS).open("w", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(LABELS_COLUMNS)
        table.writerows(rows)
