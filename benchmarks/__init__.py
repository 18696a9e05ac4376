"""``python -m experiments benchmark``: what the project claims of itself, measured here.

Ratios are taken side by side in one call, alternating, because machines are shared and drift.
"""

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure, machine

__all__ = ["PARTS", "USUAL", "Figure", "benchmark", "machine"]

#: Module of each part; each has ``measure(folder, data, repeats)``.
USUAL = ("harness", "ingest", "featurizer", "backends")
#: With those that need packages beside the project's own, or measure no seconds.
PARTS = (*USUAL, "decoders", "statistics")


def benchmark(data: str | None, *, repeats: int, parts: Sequence[str] = USUAL) -> Iterator[Figure]:
    """Yield every figure as it is measured.

    Parameters
    ----------
    data
        Folder of malaria cells (``cell_images``), for the part ``ingest`` of any images;
        without it, synthetic cells.
    repeats
        How often each figure is measured.
    parts
        Some of ``PARTS``.
    """
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="sparkdl-benchmark-") as folder:
            module = importlib.import_module(f"{__name__}.{part}")
            yield from module.measure(Path(folder), data, repeats)
