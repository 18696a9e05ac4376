"""What the harness itself costs: start, ingest, memory, and the fit beside a bare script."""

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
from benchmarks.side_by_side import turn_about
from data.config import DataConfig, ImageConfig
from data.process_environment import for_spark
from data.project import ROOT
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.records import FINISHED, RunRecord
from experiments.spark.cluster import embedded_cluster

#: Of a fit whose seconds are compared.
_EPOCHS_COMPARED = 12
#: Of each worker of a bare script's cluster: no executor asks for more.
_BARE_MEMORY_MB = 3072

#: Prints images and seconds of an ingest in a process of its own, with Spark up before.
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
    """Time the README's first command in an empty folder, environment installed."""
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
    """Images per second from the first image to the last, Spark being up."""
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
    """Fit time of Elephas inside the harness over the same calls in a bare script."""
    inside, bare = epochs_beside_bare("elephas", folder, data, repeats)
    ratios = [median(one) / median(other) for one, other in zip(inside, bare, strict=True)]
    whole = median(chain(*inside)) / median(chain(*bare))
    name = "harness / bare Elephas, epoch"
    return Figure(name, whole, "x", 1.05, False, f"{listed(ratios)} by pair")


def driver_memory(folder: Path, cells: Callable[[int], DataConfig]) -> Iterator[Figure]:
    """Peak memory of the driver's processes at ten times the images."""
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
    """Return synthetic cells of a size, 50 of each patient, drawn the first time."""
    from data.synthetic import synthesize

    source = folder / f"cells-{patients}-{size}"
    if not source.exists():
        synthesize(str(source), patients=patients, cells_per_patient=50, size=size)
    image = ImageConfig(height=size, width=size)
    return DataConfig(source=str(source), layout="c-nmc", image=image)


def run(backend: str, folder: Path, data: DataConfig, **values: Any) -> RunRecord:
    """Run one backend of the synthetic experiment on ``data``.

    Raises
    ------
    ExperimentError
        When it fails.
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
    """Return seconds of the epochs of each run inside the harness, and of each bare script.

    Medians of epochs are to be compared: one takes two seconds, and whatever else a machine does
    in some of them is not the harness's.
    """

    def epochs(way: str, number: int) -> list[float]:
        if way == "bare":
            return _bare(backend, folder / f"bare-{backend}-{number}", folder, data)
        record = run(backend, folder, data, epochs=_EPOCHS_COMPARED)
        return [epoch["seconds"] for epoch in record.epochs]

    run(backend, folder, data, epochs=1)  # prepares the data, fills the page cache
    seconds = turn_about(("inside", "bare"), repeats, epochs)
    return seconds["inside"], seconds["bare"]


def _bare(backend: str, folder: Path, shared: Path, data: DataConfig) -> list[float]:
    """Return the seconds of each epoch of a bare script on a cluster like the harness's."""
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
