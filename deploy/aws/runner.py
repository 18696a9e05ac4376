"""Carrying out a plan: start, follow, bring back the record, and end in every case."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from deploy.aws.client import Aws
from deploy.aws.plan import Plan, Request, Until, look_up
from deploy.errors import DeployError

#: Seconds between two looks; AWS throttles impatient ones.
PAUSE = 15.0
#: Seconds to wait for what takes no more than a minute or two: an application made or stopped.
_SHORT_WAIT = 600.0

Show = Callable[[str], None]


class RunFailedError(DeployError):
    """What was started did not succeed."""


@dataclass
class Runner:
    """Carries out one plan."""

    aws: Aws
    plan: Plan
    show: Show
    values: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Return when the run has succeeded and its record is here.

        Raises
        ------
        DeployError
            When it failed, was refused or took too long; what was started has been ended.
        """
        for request in self.plan.prepare:
            self._send(request)
        over = False
        began = monotonic()
        try:
            for request in self.plan.start:
                self._send(request)
            failure = self._follow(began)
            over = True
            self._fetch(failure)
        finally:
            self._end(over)

    def _send(self, request: Request) -> dict[str, Any] | None:
        if request.until:
            self._wait(request, request.until, monotonic() + _SHORT_WAIT)
            return None
        self.show(f"{request.operation}: {request.purpose}")
        answer = self.aws.send(request, self.values)
        for name, path in request.keeps.items():
            self.values[name] = str(look_up(answer, path))
            self.show(f"  {name.strip('<>')} {self.values[name]}")
        return answer

    def _follow(self, began: float) -> str | None:
        """Return None after success, else the reason of the failure."""
        assert self.plan.follow.until is not None
        state, reason = self._wait(
            self.plan.follow, self.plan.follow.until, began + self.plan.deadline
        )
        if state in self.plan.follow.until.succeeded:
            return None
        if self.plan.diagnose:
            answer = self.aws.send(self.plan.diagnose, self.values)
            last_word = look_up(answer, self.plan.diagnosis)
            reason = "; ".join(filter(None, (reason, last_word)))
        return f"{state}{': ' + reason if reason else ''}"

    def _wait(self, request: Request, until: Until, deadline: float) -> tuple[str, str]:
        """Return the final state and the reason that is given for it."""
        last = None
        while True:
            answer = self.aws.send(request, self.values)
            state = str(look_up(answer, until.path) or "PENDING")
            if state != last:
                self.show(f"{request.purpose}: {state}")
                last = state
            if state in until.succeeded or state in until.failed:
                reasons = (look_up(answer, path) for path in until.reasons)
                return state, str(next(filter(None, reasons), ""))
            if monotonic() >= deadline:
                raise RunFailedError(
                    f"{request.purpose}: still {state} at the time limit, so it was ended; allow "
                    "more with --max-hours"
                )
            sleep(PAUSE)

    def _fetch(self, failure: str | None) -> None:
        """Bring back what there is, of a failed run too."""
        problems = []
        for request in self.plan.fetch:
            try:
                answer = self._send(request)
            except DeployError as error:
                problems.append(str(error))
            else:
                if answer is None and failure is None:
                    problems.append(f"{request.parameters['Key']} is not in the bucket")
        if failure is not None:
            raise RunFailedError(f"the run ended {failure}; read {self.plan.logs}")
        if problems:
            raise RunFailedError("the record could not be brought back: " + "; ".join(problems))

    def _end(self, over: bool) -> None:
        """Stop what was started; one request that fails holds up none of the others."""
        for request in (*(() if over else self.plan.cancel), *self.plan.end):
            if not request.needs <= set(self.values):
                continue  # it was never made
            try:
                self._send(request)
            except DeployError as error:
                self.show(f"warning: {error}")
                if self.plan.by_hand:
                    by_hand = self.plan.by_hand
                    for name, value in self.values.items():
                        by_hand = by_hand.replace(name, value)
                    self.show(f"warning: see that it ends: {by_hand}")
