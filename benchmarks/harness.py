"""Overhead of the harness: start, ingest, memory, and fit time relative to a bare script."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import experiments
from benchmarks.figures import Figure, listed
from benchmarks.side_by_side import alternate
from data.config import DataConfig, ImageConfig
from data.process_environment import for_spark
from data.project import ROOT
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.records import FINISHED, RunRecord
from experiments.spark.cluster import embedded_cluster

#: Epochs of a fit whose seconds are compared.
_EPOCHS_COMPARED = 12
#: Memory of each worker of a bare script's cluster, in MiB; no executor requests more.
_BARE_MEMORY_MB = 3072

#: Program that prints the images and seconds of an ingest; Spark is started before the clock.
_INGEST = """
import json, sys, time
from data.config import DataConfig
from data.ingest import prepare
from data.local_spark import local_context
config = DataConfig.model_validate_json(sys.argv[1])
with local_context(2, "benchmark") as context:
    context.parallelize(range(2), 2).map(lambda number: number).collect()
    began = time.perf_counter()
    prepared = prepare(config, sys.argv[2])
    seconds = time.perf_counter() - began
rows = sum(prepared.rows(split) for split in ("train", "validation", "test"))
print(json.dumps([rows, seconds]))
"""


def first_command(folder: Path, repeats: int) -> Figure:
    """Time the README's first command in an empty folder, with the environment installed."""
    times = []
    for number in range(repeats):
        empty = folder / f"first-{number}"
        empty.mkdir()
        began = perf_counter()
        command = [sys.executable, str(ROOT / "run_experiment.py"), "--backend", "elephas"]
        subprocess.run(command, cwd=empty, check=True, capture_output=True)
        times.append(perf_counter() - began)
    return Figure("first command", median(times), "s", 60, False, listed(times))


def ingest_rate(folder: Path, data: DataConfig, repeats: int) -> Figure:
    """Return the images per second of an ingest, not including the start of Spark."""
    rates = []
    for number in range(repeats):
        command = [sys.executable, "-c", _INGEST, data.model_dump_json()]
        done = subprocess.run(
            [*command, str(folder / f"ingest-{number}")],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        rows, seconds = json.loads(done.stdout.strip().splitlines()[-1])
        rates.append(rows / seconds)
    return Figure("ingest", median(rates), "images/s", 1500, True, listed(rates))


def harness_cost(folder: Path, data: DataConfig, repeats: int) -> Figure:
    """Return the epoch time of Elephas in the harness relative to that in a bare script."""
    inside, bare = epochs_beside_bare("elephas", folder, data, repeats)
    ratios = [median(one) / median(other) for one, other in zip(inside, bare, strict=True)]
    whole = median(chain(*inside)) / median(chain(*bare))
    name = "harness / bare Elephas, epoch"
    return Figure(name, whole, "x", 1.05, False, f"{listed(ratios)} by pair")


def driver_memory(folder: Path, cells: Callable[[int], DataConfig]) -> Iterator[Figure]:
    """Yield the growth of the driver's peak memory with ten times the images, by backend."""
    for backend in ("elephas", "keras_local"):
        small, large = (
            run(backend, folder, cells(patients), epochs=1).metrics[
                "resources.driver_peak_memory_bytes"
            ]
            for patients in (20, 200)
        )
        measured = f"{small / 2**20:,.0f} and {large / 2**20:,.0f} MiB"
        yield Figure(f"{backend} driver, 10 x images", large / small, "x", 1.2, False, measured)


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield every figure as it is measured."""
    yield first_command(folder, repeats)
    ingested = (
        DataConfig(source=data, image=ImageConfig(height=50, width=50, color="grey"))
        if data
        else cells(folder, 200)
    )
    yield ingest_rate(folder, ingested, repeats)
    yield harness_cost(folder, cells(folder, 20), repeats)
    yield from driver_memory(folder, partial(cells, folder))


def cells(folder: Path, patients: int, size: int = 64) -> DataConfig:
    """Return the configuration of a set of synthetic cells, generated on first use.

    Parameters
    ----------
    folder
        Folder of the benchmark.
    patients
        Number of patients, with 50 cells each.
    size
        Side of a cell in pixels.
    """
    from data.synthetic import synthesize

    source = folder / f"cells-{patients}-{size}"
    if not source.exists():
        synthesize(str(source), patients=patients, cells_per_patient=50, size=size)
    image = ImageConfig(height=size, width=size)
    return DataConfig(source=str(source), layout="c-nmc", image=image)


def run(backend: str, folder: Path, data: DataConfig, **values: Any) -> RunRecord:
    """Run the synthetic experiment on ``data`` with one backend.

    Raises
    ------
    ExperimentError
        If the run fails.
    """
    overrides = {
        "name": "benchmark",
        "data": data.model_dump(mode="json"),
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        **values,
    }
    (record,) = experiments.run(
        "synthetic", backends=[backend], overrides=overrides, work=folder / "work"
    )
    if record.status != FINISHED:
        raise ExperimentError(f"{backend} failed: {record.reason}")
    return record


def epochs_beside_bare(
    backend: str, folder: Path, data: DataConfig, repeats: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the seconds of all epochs, by run in the harness and by bare script.

    Compare the medians over epochs: an epoch takes two seconds, and other work on the machine slows
    down some of them.
    """

    def epochs(way: str, number: int) -> list[float]:
        if way == "bare":
            return _bare(backend, folder / f"bare-{backend}-{number}", folder, data)
        record = run(backend, folder, data, epochs=_EPOCHS_COMPARED)
        return [epoch["seconds"] for epoch in record.epochs]

    run(backend, folder, data, epochs=1)  # Prepare the data and fill the page cache.
    seconds = alternate(("inside", "bare"), repeats, epochs)
    return seconds["inside"], seconds["bare"]


def _bare(backend: str, folder: Path, shared: Path, data: DataConfig) -> list[float]:
    """Run a bare script on a cluster like that of the harness; return the seconds of each epoch."""
    from experiments.runs.preparation import prepared_folder

    folder.mkdir()
    (folder / "events.jsonl").touch()
    with embedded_cluster(2, _BARE_MEMORY_MB, folder / "cluster") as cluster:
        output = folder / "seconds"
        script = f"benchmarks.bare_{backend}"
        prepared = prepared_folder(data, str(shared / "work" / "data"))
        command = [sys.executable, "-m", script, cluster.master]
        command += [prepared, str(_EPOCHS_COMPARED), str(output)]
        environment = {**for_spark(), **cluster.environment, "PYTHONPATH": str(ROOT)}
        environment |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
        child = start(command, folder / "log", environment)
        try:
            child.wait(600)
        finally:
            stop([child])
    if not output.exists():
        raise ExperimentError(f"the bare script failed:\n{(folder / 'log').read_text()[-2000:]}")
    seconds: list[float] = json.loads(output.read_text())
    return seconds
