"""A measured figure, its target and the machine that it was measured on."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Figure:
    """One measured figure beside what it should be."""

    name: str
    value: float
    unit: str
    #: Largest value allowed, or smallest with ``at_least``; None where nothing is asked.
    target: float | None
    at_least: bool
    #: Single measurements that ``value`` is the median or ratio of.
    measured: str

    @property
    def reached(self) -> bool:
        """Whether the target holds."""
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


def machine() -> str:
    """Return cores, memory and software of this machine in a line."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python "
        f"{platform.python_version()}, load {load}"
    )


def listed(values: Sequence[float]) -> str:
    """Return single measurements for the table."""
    return ", ".join(f"{value:,.2f}" for value in values)
