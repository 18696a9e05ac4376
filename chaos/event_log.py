"""The event log of a run, which remains readable after its process was killed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from experiments.processes.events import EventReader
from experiments.records import RunRecord

EVENT_LOG = "events.jsonl"
#: Seconds of training below which a fault cannot be injected in its middle.
_SHORTEST_FIT = 0.5
#: Minimum ratio of the time between the first two epoch events to the time before the first one. A
#: smaller ratio means that the backend reports all epochs together at its end.
_LEAST_SHARE = 0.02


class Trigger(BaseModel):
    """Time at which a fault is injected: seconds after a phase has begun or an epoch has ended."""

    phase: str = ""
    epoch: int = 0
    seconds: float = 0.0

    def begins(self, event: dict[str, Any]) -> bool:
        """Return whether ``event`` is the one from which the seconds are counted."""
        if self.epoch:
            return event["event"] == "epoch" and event["number"] == self.epoch
        return event["event"] == "phase" and event["name"] == self.phase


@dataclass(frozen=True)
class EventLog:
    """Events of a run in chronological order."""

    events: tuple[dict[str, Any], ...]

    def first(self, kind: str, **content: Any) -> dict[str, Any] | None:
        """Return the first event of ``kind`` with ``content``, or None if there is none."""
        for event in self.events:
            if event["event"] == kind and content.items() <= event.items():
                return event
        return None

    @property
    def record(self) -> RunRecord | None:
        """Record reported by the harness at the end of the run, if any."""
        event = self.first("run_ends")
        return RunRecord.model_validate(event["record"]) if event else None

    @property
    def started(self) -> float | None:
        """Start of the run, in seconds since 1970."""
        event = self.first("run_starts")
        return float(event["time"]) if event else None

    @property
    def ended(self) -> float | None:
        """Time at which the record was closed, in seconds since 1970."""
        event = self.first("run_ends")
        return float(event["time"]) if event else None

    @property
    def injected(self) -> float | None:
        """Time at which the injection of the fault began, in seconds since 1970."""
        event = self.first("injecting")
        return float(event["time"]) if event else None

    @property
    def images(self) -> int:
        """Number of training images in an epoch."""
        event = self.first("run_starts")
        return int(event["images"]) if event else 0

    @property
    def middle(self) -> Trigger:
        """Middle of the second epoch if epochs are reported when they end, else of training."""
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
        """Return the epoch at ``moment``, and the number of its images so far if reported."""
        before = [event for event in self.events if event["time"] <= moment]
        done = [event["number"] for event in before if event["event"] == "epoch"]
        number = max(done, default=0) + 1
        images = [e["images"] for e in before if e["event"] == "batch" and e["number"] == number]
        return number, max(images, default=None)


def read_event_log(folder: Path) -> EventLog:
    """Return the events written to ``folder`` so far."""
    return EventLog(tuple(EventReader(folder / EVENT_LOG).new()))
