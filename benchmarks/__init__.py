"""``sparkdl-bench benchmark``: measurements of the project's performance claims.

The two sides of a ratio are measured alternately in the same call, because the speed of shared
machines drifts.
"""

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure, machine

__all__ = ["PARTS", "USUAL", "Figure", "benchmark", "machine"]

#: Parts measured by default. Each is a module with a function ``measure(folder, data, repeats)``.
USUAL = ("harness", "ingest", "featurizer", "backends")
#: All parts, including those that need additional packages or measure no time.
PARTS = (*USUAL, "serving", "scoring", "decoders", "statistics")


def benchmark(
    data: str | None, *, repeats: int, parts: Sequence[str] = USUAL, minutes: float = 0.0
) -> Iterator[Figure]:
    """Yield every figure as it is measured.

    Parameters
    ----------
    data
        Folder of malaria cells (``cell_images``), or of any images for the part ``ingest``. If
        None, synthetic cells are used.
    repeats
        Number of measurements of each figure.
    parts
        Names from ``PARTS``.
    minutes
        Duration of the load in the part ``serving``; 0 omits it.

    Yields
    ------
    Figure
        Measured figure with its target.
    """
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="sparkdl-benchmark-") as folder:
            module = importlib.import_module(f"{__name__}.{part}")
            more = {"minutes": minutes} if part == "serving" else {}
            yield from module.measure(Path(folder), data, repeats, **more)
