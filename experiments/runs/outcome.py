"""Outcome of a run, which training, scoring and closing fill in."""

from dataclasses import dataclass, field
from typing import Any

from experiments.records import FAILED
from experiments.resources.monitor import Sample
from experiments.runs.task import Result


@dataclass
class Outcome:
    """Status, figures and notes of one run; filled in by training, scoring and closing."""

    status: str = FAILED
    reason: str = ""
    #: Answer of the worker process; None if it left none.
    result: Result | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: tuple[Sample, ...] = ()
    #: Epochs as they were reported while the run was under way.
    epochs: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Set the outcome of a task that the backend does not support."""
        self.reason = f"refused: {reason}"
        self.tags["refused"] = "true"

    @property
    def refused(self) -> bool:
        """True if the backend does not support the task."""
        return self.tags.get("refused") == "true"
