"""Featurizer compared with a bare loop over its engine and with Keras ``predict`` in a pandas UDF.

The network is ResNet50 at 224 x 224 with random weights, which take the same time as trained ones.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, listed
from benchmarks.harness import cells
from benchmarks.side_by_side import alternate, in_own_process, ratio
from data.ingest import prepare

WORKERS = 2
_PATIENTS, _SIZE = 60, 224


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield ratios of images per second, and the peak memory of a Python worker."""
    del data  # All images of this size take the same time.
    prepared = prepare(cells(folder, _PATIENTS, _SIZE), str(folder / "prepared"))
    ways = ("spark", "bare", "predict")
    found = alternate(ways, repeats, lambda way, _: _run(way, prepared.uri))
    rates = {way: [one["images_per_s"] for one in measured] for way, measured in found.items()}
    for way, name, target in (
        ("bare", "featurizer / bare engine loop", 0.85),
        ("predict", "featurizer / Keras predict in a pandas UDF", 6.0),
    ):
        yield ratio(name, rates, "spark", way, target)
    memory = [one["worker_bytes"] / 2**30 for one in found["spark"]]
    yield Figure("Python worker of the featurizer", max(memory), "GiB", 2.33, False, listed(memory))


def _run(way: str, prepared: str) -> dict[str, float]:
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return in_own_process("benchmarks.featurizing", way, prepared, environment=threads)
