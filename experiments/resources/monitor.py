"""CPU time, memory and I/O of a run: its driver, daemons, executors and Python workers.

CPU and I/O are sums of the kernel's counters over the living processes, including their reaped
children: when a process ends, the kernel adds its figures to those of its parent, so nothing is
lost between two samples and nothing is counted twice. Memory is the largest sampled sum of resident
sets; pages shared by several processes are counted in each.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from experiments.resources import gpu
from experiments.resources.gpu import GpuSampler

#: Seconds between samples.
INTERVAL = 0.5
#: Artifact with every sample of a run.
SERIES = "resources.parquet"
METHOD = (
    "process tree of the run sampled every 0.5 s from /proc: CPU seconds and I/O bytes of living "
    "processes with their reaped children; memory as the peak of summed resident sets (shared "
    "pages count in each process)"
)


@dataclass(frozen=True)
class Usage:
    """Resources used by a process tree."""

    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0

    def metrics(self) -> dict[str, float]:
        """Return the figures by the names of MLflow's metrics."""
        return {f"resources.{name}": float(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Sample:
    """One sample of the process trees."""

    #: Seconds since the first sample.
    at_s: float
    #: CPU seconds until this sample.
    cpu_s: float
    #: Sum of the resident sets.
    memory_bytes: int


class ResourceMonitor:
    """Context manager that samples process trees in a thread."""

    def __init__(self, roots: Iterable[int] = (), gpu: GpuSampler | None = None) -> None:
        self._gpu = gpu
        self._roots: list[int] = list(roots)
        self._usage = Usage()
        self._samples: list[Sample] = []
        #: CPU seconds used by the sampling itself.
        self.own_cpu_s = 0.0
        self._known: dict[int, psutil.Process] = {}
        self._peak_by_root: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resources", daemon=True)

    def __enter__(self) -> "ResourceMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    def watch(self, pid: int) -> None:
        """Add the process tree below ``pid`` to the sampled ones."""
        self._roots.append(pid)

    def sample(self) -> None:
        """Take an additional sample, for example immediately before processes are ended."""
        self._take_sample()

    @property
    def usage(self) -> Usage:
        """Resources used so far."""
        return self._usage

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples, in order."""
        return tuple(self._samples)

    def metrics(self) -> dict[str, float]:
        """Return all figures by the names of MLflow's metrics."""
        devices = self._gpu.metrics() if self._gpu is not None else {}
        return {**self._usage.metrics(), "resources.sampling_cpu_s": self.own_cpu_s, **devices}

    @property
    def method(self) -> str:
        """Description of the measurement."""
        return METHOD + (gpu.METHOD if self._gpu is not None else "")

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._take_sample()

    def peak_memory_of(self, root: int) -> int:
        """Return the largest sampled sum of resident sets in the tree below ``root``, in bytes."""
        return self._peak_by_root.get(root, 0)

    def _take_sample(self) -> None:
        before = time.thread_time()
        self._measure()
        if self._gpu is not None:
            self._gpu.sample()
        self.own_cpu_s += time.thread_time() - before

    def _measure(self) -> None:
        cpu = memory = read = written = 0.0
        for root, members in self._trees().items():
            resident_of_root = 0
            for process in members:
                try:
                    with process.oneshot():
                        times = process.cpu_times()
                        resident = process.memory_info().rss
                    got = io_of(process.pid)
                except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                    continue
                cpu += sum(times[:4])  # user and system, each also of reaped children
                resident_of_root += resident
                read += got[0]
                written += got[1]
            memory += resident_of_root
            peak = max(resident_of_root, self._peak_by_root.get(root, 0))
            self._peak_by_root[root] = peak
        now = time.monotonic()
        if not self._samples:
            self._began = now
        self._samples.append(Sample(now - self._began, cpu, int(memory)))
        before = self._usage
        self._usage = Usage(
            max(before.cpu_s, cpu),
            max(before.peak_memory_bytes, int(memory)),
            max(before.read_bytes, int(read)),
            max(before.write_bytes, int(written)),
        )

    def _trees(self) -> dict[int, list[psutil.Process]]:
        """Return the living processes below each root, from one pass over the process table."""
        children: dict[int, list[int]] = {}
        for pid, parent in psutil._psplatform.ppid_map().items():
            children.setdefault(parent, []).append(pid)
        return {root: self._alive(root, children) for root in dict.fromkeys(self._roots)}

    def _alive(self, root: int, children: dict[int, list[int]]) -> list[psutil.Process]:
        waiting, found = [root], []
        while waiting:
            pid = waiting.pop()
            try:
                if pid not in self._known:
                    self._known[pid] = psutil.Process(pid)
                found.append(self._known[pid])
            except psutil.NoSuchProcess:
                continue
            waiting += children.get(pid, [])
        return found


def write_series(samples: Sequence[Sample], path: Path) -> None:
    """Write samples to a Parquet file with the fields of :class:`Sample` as columns."""
    import pandas as pd

    columns = [item.name for item in fields(Sample)]
    rows = [asdict(sample) for sample in samples]
    pd.DataFrame(rows, columns=columns).to_parquet(path, index=False)


def io_of(pid: int) -> tuple[int, int]:
    """Return the bytes read from and written to storage by ``pid`` and its reaped children."""
    fields = dict(
        line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines() if line
    )
    return int(fields["read_bytes"]), int(fields["write_bytes"])
