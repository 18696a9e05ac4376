"""Figures are checked against processes whose use is known."""

import subprocess
import sys

import pytest

from experiments.resources import ResourceMonitor

#: A parent whose children burn CPU one after the other and end before they can be sampled well.
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


def test_watching_costs_under_one_per_cent_of_a_core() -> None:
    import time

    with ResourceMonitor() as monitor:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        monitor.watch(child.pid)
        before, began = time.thread_time(), time.monotonic()
        for _ in range(20):
            monitor.sample()
        each = (time.thread_time() - before) / 20
        child.kill()
        child.wait()
    assert time.monotonic() > began
    assert each / 0.5 < 0.02, f"one look takes {each * 1000:.1f} ms of every 500"
