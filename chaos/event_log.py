"""What was seen of a run from inside, readable after its process was killed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from experiments.processes.events import EventReader
from experiments.records import RunRecord

EVENT_LOG = "events.jsonl"
#: Seconds of training below which a run has no middle.
_SHORTEST_FIT = 0.5
#: Of the seconds before an epoch was told, what the next one takes at least where each is told
#: when it ends; a backend may also tell all of them at its end.
_LEAST_SHARE = 0.02


class Trigger(BaseModel):
    """When to inject a fault: seconds after a phase has begun or an epoch has ended."""

    phase: str = ""
    epoch: int = 0
    seconds: float = 0.0

    def begins(self, event: dict[str, Any]) -> bool:
        """Whether ``event`` is the one that seconds are counted from."""
        if self.epoch:
            return event["event"] == "epoch" and event["number"] == self.epoch
        return event["event"] == "phase" and event["name"] == self.phase


@dataclass(frozen=True)
class EventLog:
    """Events in their order."""

    events: tuple[dict[str, Any], ...]

    def first(self, kind: str, **content: Any) -> dict[str, Any] | None:
        """Return the first event of a kind with this content."""
        for event in self.events:
            if event["event"] == kind and content.items() <= event.items():
                return event
        return None

    @property
    def record(self) -> RunRecord | None:
        """The record that the harness told in the end."""
        told = self.first("run_ends")
        return RunRecord.model_validate(told["record"]) if told else None

    @property
    def started(self) -> float | None:
        """When the run began, in seconds since 1970."""
        told = self.first("run_starts")
        return float(told["time"]) if told else None

    @property
    def ended(self) -> float | None:
        """When its record was closed."""
        told = self.first("run_ends")
        return float(told["time"]) if told else None

    @property
    def injected(self) -> float | None:
        """Time at which the injection of the fault began."""
        told = self.first("injecting")
        return float(told["time"]) if told else None

    @property
    def images(self) -> int:
        """Training images of an epoch."""
        told = self.first("run_starts")
        return int(told["images"]) if told else 0

    @property
    def middle(self) -> Trigger:
        """The middle of the second epoch where epochs are told as they end, else of training."""
        begins = self.first("phase", name="fit")
        ends = self.first("phase", name="predict")
        if begins is None or ends is None:
            return Trigger(phase="load")
        fit, end = float(begins["time"]), float(ends["time"])
        one, two = self.first("epoch", number=1), self.first("epoch", number=2)
        if one and two:
            gap = float(two["time"]) - float(one["time"])
            if gap > _LEAST_SHARE * (float(one["time"]) - fit):
                return Trigger(epoch=1, seconds=gap / 2)
        if end - fit < _SHORTEST_FIT:
            return Trigger(phase="load")
        return Trigger(phase="fit", seconds=(end - fit) / 2)

    def under_way(self, moment: float) -> tuple[int, int | None]:
        """Return the epoch under way at ``moment``, and its images so far if they were told."""
        before = [event for event in self.events if event["time"] <= moment]
        done = [event["number"] for event in before if event["event"] == "epoch"]
        number = max(done, default=0) + 1
        told = [e["images"] for e in before if e["event"] == "batch" and e["number"] == number]
        return number, max(told, default=None)


def read_event_log(folder: Path) -> EventLog:
    """Return what was written in ``folder`` so far."""
    return EventLog(tuple(EventReader(folder / EVENT_LOG).new()))
