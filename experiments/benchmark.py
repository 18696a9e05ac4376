"""What the harness itself costs, measured on this machine: ``python -m experiments benchmark``.

Ratios are taken side by side in one call, alternating, because machines are shared and drift.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil

import experiments
from data.config import DataConfig, ImageConfig
from experiments.cluster import embedded_cluster, spark_environment
from experiments.errors import ExperimentError
from experiments.processes import start, stop
from experiments.records import FINISHED, RunRecord

ROOT = Path(__file__).parent.parent

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


@dataclass(frozen=True)
class Figure:
    """One measured figure beside what it should be."""

    name: str
    value: float
    unit: str
    #: Largest value allowed, or smallest with ``at_least``.
    target: float
    at_least: bool
    #: Single measurements that ``value`` is the median or ratio of.
    measured: str

    @property
    def reached(self) -> bool:
        """Whether the target holds."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def machine() -> str:
    """Return cores, memory and software of this machine in a line."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python "
        f"{platform.python_version()}, load {load}"
    )


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
    return Figure("first command", median(times), "s", 60, False, _list(times))


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
    return Figure("ingest", median(rates), "images/s", 1500, True, _list(rates))


def harness_cost(folder: Path, data: DataConfig, repeats: int) -> Figure:
    """Fit time of Elephas inside the harness over the same calls in a bare script."""
    ratios = []
    for number in range(repeats):
        inside = _run("elephas", folder, data).metrics["time.fit_s"]
        ratios.append(inside / _bare_elephas(folder / f"bare-{number}", folder, data))
    return Figure("harness / bare Elephas, fit", median(ratios), "x", 1.05, False, _list(ratios))


def driver_memory(folder: Path, cells: Callable[[int], DataConfig]) -> Iterator[Figure]:
    """Peak memory of the driver's processes at ten times the images."""
    for backend in ("elephas", "keras_local"):
        small, large = (
            _run(backend, folder, cells(patients), epochs=1).metrics[
                "resources.driver_peak_memory_bytes"
            ]
            for patients in (20, 200)
        )
        measured = f"{small / 2**20:,.0f} and {large / 2**20:,.0f} MiB"
        yield Figure(f"{backend} driver, 10 x images", large / small, "x", 1.2, False, measured)


def benchmark(data: str | None, *, repeats: int) -> Iterator[Figure]:
    """Yield every figure as it is measured.

    Parameters
    ----------
    data
        Folder of malaria cells (``cell_images``) for the ingest; without it, synthetic cells.
    repeats
        How often each figure is measured.
    """
    from data.synthetic import synthesize

    with tempfile.TemporaryDirectory(prefix="sparkdl-benchmark-") as name:
        folder = Path(name)

        def cells(patients: int) -> DataConfig:
            source = folder / f"cells-{patients}"
            if not source.exists():
                synthesize(str(source), patients=patients, cells_per_patient=50, size=64)
            image = ImageConfig(height=64, width=64)
            return DataConfig(source=str(source), layout="c-nmc", image=image)

        yield first_command(folder, repeats)
        ingested = (
            DataConfig(source=data, image=ImageConfig(height=50, width=50, color="grey"))
            if data
            else cells(200)
        )
        yield ingest_rate(folder, ingested, repeats)
        yield harness_cost(folder, cells(20), repeats)
        yield from driver_memory(folder, cells)


def _run(backend: str, folder: Path, data: DataConfig, **values: Any) -> RunRecord:
    overrides = {
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


def _bare_elephas(folder: Path, shared: Path, data: DataConfig) -> float:
    """Return the fit seconds of the bare script on a cluster like the harness's."""
    from experiments.preparation import prepared_folder

    folder.mkdir()
    (folder / "events.jsonl").touch()
    with embedded_cluster(2, 1536, folder / "cluster") as cluster:
        output = folder / "seconds"
        command = [sys.executable, "-m", "experiments.bare_elephas", cluster.master]
        command += [str(prepared_folder(data, shared / "work")), str(output)]
        environment = {**spark_environment(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        child = start(command, folder / "log", {**environment, "TF_NUM_INTRAOP_THREADS": "1"})
        try:
            child.wait(600)
        finally:
            stop([child])
    if not output.exists():
        raise ExperimentError(f"the bare script failed:\n{(folder / 'log').read_text()[-2000:]}")
    return float(output.read_text())


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:,.2f}" for value in values)
