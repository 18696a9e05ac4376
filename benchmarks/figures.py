"""Measured figures, their targets and the machine on which they were measured."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Figure:
    """A measured figure and its target."""

    name: str
    value: float
    unit: str
    #: Largest allowed value, or smallest if ``at_least``; None if there is no target.
    target: float | None
    #: True if ``value`` must be at least ``target``, False if at most.
    at_least: bool
    #: Description of the individual measurements from which ``value`` was computed.
    measured: str

    @property
    def reached(self) -> bool:
        """True if the target is reached or there is none."""
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


def machine() -> str:
    """Return a line with the cores, memory, software and load of this machine."""
    memory = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python "
        f"{platform.python_version()}, load {load}"
    )


def listed(values: Sequence[float]) -> str:
    """Return individual measurements as text for the table."""
    return ", ".join(f"{value:,.2f}" for value in values)
