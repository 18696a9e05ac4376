"""Measurements are checked against processes with known resource use."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from experiments.errors import ExperimentError
from experiments.resources import energy
from experiments.resources.energy import EnergyMeter
from experiments.resources.gpu import GpuSampler, gpu_sampler
from experiments.resources.monitor import INTERVAL, METHOD, ResourceMonitor
from experiments.spark.cluster import embedded_cluster
from tests.experiments.conftest import Run
from tests.experiments.misbehaving import Burning

ROOT = Path(__file__).parents[2]
#: A parent whose children use CPU one after the other and end before they can be sampled well.
BURN = """
import subprocess, sys, time
code = "import time\\nend = time.process_time() + 0.4\\nwhile time.process_time() < end: pass"
for _ in range(4):
    subprocess.run([sys.executable, "-S", "-c", code])
held = bytearray(300 * 2**20)
for start in range(0, len(held), 4096):
    held[start] = 1
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
"""


@pytest.mark.slow
def test_cpu_of_ended_children_and_peak_memory_are_counted() -> None:
    with ResourceMonitor() as monitor:
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", BURN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        monitor.watch(child.pid)
        assert child.stdout is not None
        child.stdout.readline()
        monitor.sample()
        child.communicate("end\n")
    usage = monitor.usage
    assert usage.cpu_s == pytest.approx(1.6 + 0.25, abs=0.35)
    assert usage.peak_memory_bytes == pytest.approx(310 * 2**20, rel=0.1)
    assert monitor.peak_memory_of(child.pid) == usage.peak_memory_bytes


def test_storage_writes_are_counted_once(tmp_path) -> None:
    size = 8 * 2**20
    code = (
        "import os, subprocess, sys\n"
        'inner = \'import os,sys; f=open(sys.argv[1],"wb"); f.write(os.urandom(int(sys.argv[2])));'
        " f.flush(); os.fsync(f.fileno())'\n"
        "subprocess.run([sys.executable, '-c', inner, *sys.argv[1:]])\n"
        "print('ready', flush=True)\nsys.stdin.readline()"
    )
    with ResourceMonitor() as monitor:
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "written"), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        monitor.watch(child.pid)
        assert child.stdout is not None
        child.stdout.readline()
        monitor.sample()
        child.communicate("end\n")
    assert monitor.usage.write_bytes == pytest.approx(size, rel=0.1)


@pytest.mark.slow
def test_watching_costs_under_one_per_cent_of_a_core() -> None:
    """A driver, two daemons, two executors and their Python workers: about a dozen processes."""
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    children = [subprocess.Popen(sleep) for _ in range(12)]
    began = time.monotonic()
    with ResourceMonitor(child.pid for child in children) as monitor:
        time.sleep(4)
    elapsed = time.monotonic() - began
    for child in children:
        child.kill()
        child.wait()
    assert len(monitor.samples) == pytest.approx(elapsed / INTERVAL, abs=2)
    assert 0 < monitor.own_cpu_s < 0.01 * elapsed


class Nvml(ModuleType):
    """Two devices, of which one is busy at every other sample."""

    looks = 0

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=1000 * (device + 1))

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:  # noqa: N802
        self.looks += device == 0
        return SimpleNamespace(gpu=80 if device == 0 and self.looks % 2 else 0)


def test_devices_are_averaged_over_looks_and_their_memory_summed() -> None:
    monitor = ResourceMonitor(gpu=GpuSampler(Nvml("nvml")))
    monitor.sample()
    monitor.sample()
    assert monitor.metrics()["resources.gpu_utilisation"] == pytest.approx(0.2)
    assert monitor.metrics()["resources.gpu_peak_memory_bytes"] == 3000
    assert "NVML" in monitor.method


def test_machine_without_devices_or_driver_has_no_figures_of_them() -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a driver")
    assert gpu_sampler() is None
    assert "NVML" not in ResourceMonitor().method


@pytest.mark.slow
def test_energy_is_that_of_a_machine_that_computes() -> None:
    burn = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        with EnergyMeter("DEU") as dirty:
            time.sleep(4)
        with EnergyMeter("NOR") as clean:
            time.sleep(2)
    finally:
        burn.kill()
        burn.wait()
    joules, grams = dirty.metrics()["resources.energy_j"], dirty.metrics()["resources.co2_g"]
    assert 4 < joules < 4 * 2000, "between one and two thousand watts"
    each = clean.metrics()["resources.co2_g"] / clean.metrics()["resources.energy_j"]
    assert 0 < each < grams / joules / 5, "Norway's power is from water"
    assert "codecarbon" in dirty.method


@pytest.mark.slow
def test_energy_of_a_run_is_recorded_when_asked_for(run: Run) -> None:
    (record,) = run("majority", name="energy", energy={"country": "DEU"})
    assert record.metrics["resources.energy_j"] > 0
    assert "power mix of DEU" in record.tags["resources.method"]
    (record,) = run("majority", name="energy")
    assert "resources.energy_j" not in record.metrics


def test_missing_codecarbon_is_said_before_anything_starts(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "find_spec", lambda _: None)
    with pytest.raises(ExperimentError, match="uv sync --extra energy"):
        run("majority", name="energy", energy={"country": "DEU"})


@pytest.mark.process_tree
@pytest.mark.slow
@pytest.mark.spark
def test_executors_of_a_cluster_tell_what_they_have_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "tests.experiments.misbehaving:Burning"
    settings = {"spark.executor.memory": "512m", "spark.executorEnv.PYTHONPATH": str(ROOT)}
    with embedded_cluster(2, 1024, tmp_path / "cluster") as cluster:
        monkeypatch.setenv("SPARK_CONF_DIR", str(cluster.settings.parent))
        (record,) = run(name, name="burning", spark={"master": cluster.master, "conf": settings})
    assert record.status == "FINISHED", record.reason
    used = {
        key.removeprefix("resources.executors_"): value
        for key, value in record.metrics.items()
        if key.startswith("resources.executors_")
    }
    # In addition to the requested work, only two Java processes start and compile.
    assert 2 * Burning.cpu_s < used["cpu_s"] < 2 * Burning.cpu_s + 24
    assert 2 * Burning.memory_bytes < used["peak_memory_bytes"]
    assert used["peak_memory_bytes"] < 2 * (Burning.memory_bytes + 700 * 2**20)
    assert 2 * Burning.written_bytes <= used["write_bytes"] < 3 * Burning.written_bytes
    for key in ("cpu_s", "peak_memory_bytes"):
        assert record.metrics[f"resources.{key}"] > used[key], "the driver uses something too"
    assert record.tags["resources.method"] not in ("", METHOD)
    few = ("The 95 % interval", "The model predicts", "Fewer than 10")
    others = [note for note in record.notes if not note.startswith(few)]
    assert not others[1:], record.notes
