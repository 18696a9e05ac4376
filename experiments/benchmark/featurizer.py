"""The featurizer beside a bare loop of its engine, and beside how it used to be written.

ResNet50 at 224 x 224 with random weights, which compute as long as trained ones do.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from data.ingest import prepare
from experiments.benchmark.figures import Figure, listed
from experiments.benchmark.harness import ROOT, cells
from experiments.cluster import spark_environment
from experiments.errors import ExperimentError

WORKERS = 2
_PATIENTS, _SIZE = 60, 224


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield images per second as ratios, and the memory of a Python worker."""
    del data  # any images of this size take the same time
    prepared = prepare(cells(folder, _PATIENTS, _SIZE), str(folder / "prepared"))
    ways = ("spark", "bare", "predict")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(repeats):
        # Turn about, so that a machine which slows down favours none.
        for way in ways if number % 2 == 0 else reversed(ways):
            found[way].append(_run(way, prepared.uri))
    rates = {way: [one["images_per_s"] for one in measured] for way, measured in found.items()}
    for way, name, target in (
        ("bare", "featurizer / bare engine loop", 0.85),
        ("predict", "featurizer / Keras predict in a pandas UDF", 6.0),
    ):
        ratios = [one / other for one, other in zip(rates["spark"], rates[way], strict=True)]
        single = f"{listed(rates['spark'])} over {listed(rates[way])} images/s"
        yield Figure(name, median(ratios), "x", target, True, single)
    memory = [one["worker_bytes"] / 2**30 for one in found["spark"]]
    yield Figure("Python worker of the featurizer", max(memory), "GiB", 2.33, False, listed(memory))


def _run(way: str, prepared: str) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "experiments.benchmark.featurizing", way, prepared]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**spark_environment(), **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ExperimentError(f"featurizing by {way} failed:\n{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured
