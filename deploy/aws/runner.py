"""Carrying out a plan: start, follow, bring back the record, and end in every case."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, TypeVar

from data.exit_status import FAILED, INTERRUPTED
from deploy.aws.client import ATTEMPTS, Aws, NotReachedError, ThrottledError
from deploy.aws.plan import Lost, Plan, Request, Until, look_up
from deploy.errors import DeployError
from experiments.processes.ending import undisturbed

#: Seconds between two looks; AWS throttles impatient ones.
PAUSE = 15.0
#: Seconds to wait for what takes no more than a minute or two: an application made or stopped.
_SHORT_WAIT = 600.0
#: Looks for what a request has made whose answer was lost; a list may lag behind.
_LOOKS = 4
#: What EMR says of a network or a role that does not carry its tag.
_NOT_TAGGED = "insufficient EC2 permissions"

Show = Callable[[str], None]
Answer = TypeVar("Answer")


class RunFailedError(DeployError):
    """The job or the endpoint that was started failed."""

    exit_status = FAILED


class InterruptedRunError(DeployError):
    """The command was interrupted or terminated; the message says what was ended on AWS."""

    exit_status = INTERRUPTED


@dataclass
class Runner:
    """Carries out one plan."""

    aws: Aws
    plan: Plan
    show: Show
    values: dict[str, str] = field(default_factory=dict)
    #: Something has been started, or may have been.
    _begun: bool = False
    #: It has ended of its own accord.
    _over: bool = False
    _told_of_gap: bool = False

    def run(self) -> None:
        """Return when the run has succeeded and its record is here.

        Raises
        ------
        DeployError
            When it failed, was refused or took too long. What was started has been ended; if it
            could not be, the message says what to do.
        """
        for warning in self.plan.warnings:
            self.show(f"warning: {warning}")
        problem: DeployError | None = None
        try:
            self._start_and_follow()
        except KeyboardInterrupt:
            done = "what had been started was ended" if self._begun else "nothing had been started"
            problem = InterruptedRunError(f"interrupted: {done}")
        except DeployError as error:
            problem = error
        finally:
            left = self._end()
        if left and isinstance(problem, InterruptedRunError):
            raise InterruptedRunError(f"interrupted: {left}")
        if left:
            raise RunFailedError(f"{problem or 'the run went well'}; {left}")
        if problem:
            raise problem

    def _start_and_follow(self) -> None:
        for request in self.plan.prepare:
            self._prepare(request)
        began = monotonic()
        for request in self.plan.start:
            self._start(request)
        failure = self._follow(began)
        self._over = True
        self._fetch(failure)

    def _prepare(self, request: Request) -> None:
        if request.check is None:
            self._send(request)
            return
        try:
            answer = self._send(request)
        except DeployError as error:  # the machines may read it where this user may not
            warning: str | None = f"it could not be looked at: {error}"
        else:
            warning = request.check(answer)
        if warning:
            self.show(f"warning: {warning}")

    def _start(self, request: Request) -> None:
        """Send ``request``; one that was cut off might leave behind what nobody ends."""
        if request.until:
            self._send(request)
            return
        try:
            with undisturbed(lambda: self.show("ending as soon as AWS answers"), then_end=True):
                self._send(request)
                self._begun = True
        except NotReachedError:
            self._begun = True  # perhaps
            raise

    def _send(self, request: Request) -> dict[str, Any] | None:
        if request.until:
            self._wait(request, request.until, monotonic() + _SHORT_WAIT)
            return None
        self.show(f"{request.operation}: {request.purpose}")
        keeps = request.keeps
        if request.lost is None:
            answer = self.aws.send(request, self.values)
        else:
            answer, keeps = self._send_once(request, request.lost)
        for name, path in keeps.items():
            self.values[name] = str(look_up(answer, path))
            self.show(f"  {name.strip('<>')} {self.values[name]}")
        return answer

    def _send_once(self, request: Request, lost: Lost) -> tuple[Any, dict[str, str]]:
        """Return the answer, or what the request has made, and where the names to keep stand."""
        for _ in range(ATTEMPTS):
            try:
                return self.aws.send(request, self.values), request.keeps
            except ThrottledError:  # so it was not done
                sleep(PAUSE)
            except NotReachedError as error:
                self.show(f"{error}; looking whether it was done all the same")
                return self._made(lost, error), lost.keeps
        raise RunFailedError(f"AWS is too busy for {request.operation}: try again later")

    def _made(self, lost: Lost, error: DeployError) -> dict[str, Any]:
        for _ in range(_LOOKS):
            sleep(PAUSE)
            try:
                answer = self.aws.send(lost.request, self.values)
            except NotReachedError:
                self._renew()
                continue
            except DeployError as refusal:  # what was asked for may be there nevertheless
                self.show(f"warning: {refusal}")
                break
            for one in look_up(answer, lost.path) or []:
                if one.get("Name") == lost.name:
                    return dict(one)
        raise RunFailedError(
            f"{error}; '{lost.name}' was not found, and may come to run all the same: look with "
            f"'{lost.by_hand}' and end it"
        )

    def _follow(self, began: float) -> str | None:
        """Return None after success, else the reason of the failure."""
        assert self.plan.follow.until is not None
        state, reason = self._wait(
            self.plan.follow, self.plan.follow.until, began + self.plan.deadline
        )
        if state in self.plan.follow.until.succeeded:
            return None
        reason = "; ".join(filter(None, (reason, self._diagnosis())))
        if _NOT_TAGGED in reason:
            reason += " ('python -m deploy iam emr-service-role' says what must carry which tag)"
        return f"{state}{': ' + reason if reason else ''}"

    def _diagnosis(self) -> str | None:
        """Return the last word on a failure, if it can be had: the record is worth more."""
        if self.plan.diagnose is None:
            return None
        try:
            answer = self.aws.send(self.plan.diagnose, self.values)
        except DeployError as error:
            self.show(f"warning: {error}")
            return None
        return look_up(answer, self.plan.diagnosis)

    def _wait(self, request: Request, until: Until, deadline: float) -> tuple[str, str]:
        """Return the final state and the reason that is given for it."""
        last = None
        while True:
            answer = self._patiently(request, deadline)
            state = str(look_up(answer, until.path) or "PENDING")
            if state != last:
                self.show(f"{request.purpose}: {state}")
                last = state
            if state in until.succeeded or state in until.failed:
                reasons = (look_up(answer, path) for path in until.reasons)
                return state, str(next(filter(None, reasons), ""))
            if monotonic() >= deadline:
                raise RunFailedError(
                    f"{request.purpose}: still {state} at the time limit; allow more with "
                    "--max-hours"
                )
            sleep(PAUSE)

    def _patiently(self, request: Request, deadline: float) -> dict[str, Any] | None:
        """Return the answer; what runs on AWS does not end because this machine is cut off."""
        while True:
            try:
                answer = self.aws.send(request, self.values)
            except NotReachedError as error:
                if monotonic() >= deadline:
                    raise RunFailedError(f"{error}, until the time limit") from error
                if not self._told_of_gap:
                    self.show(f"warning: {error}; the run goes on there, and is looked for again")
                    self._told_of_gap = True
                sleep(PAUSE)
                self._renew()
            else:
                self._told_of_gap = False
                return answer

    def _renew(self) -> None:
        with suppress(DeployError):  # the old credentials may do again
            self.aws.renew()

    def _fetch(self, failure: str | None) -> None:
        """Bring back what there is, of a failed run too."""
        problems = []
        for request in self.plan.fetch:
            self.show(f"{request.operation}: {request.purpose}")
            try:
                answer = self._patiently(request, monotonic() + _SHORT_WAIT)
            except DeployError as error:
                problems.append(str(error))
            else:
                if answer is None and failure is None and request.expected:
                    problems.append(f"{request.parameters['Key']} is not in the bucket")
        if failure is not None:
            raise RunFailedError(f"the run ended {failure}; read {self.plan.logs}")
        if problems:
            raise RunFailedError("the record could not be brought back: " + "; ".join(problems))

    def _end(self) -> str:
        """Stop what was started; one request that fails holds up none of the others.

        Returns
        -------
        str
            What to do about what could not be stopped; empty when nothing is left.
        """
        if not self._begun:
            return ""
        failed = False
        with undisturbed(lambda: self.show("still ending what was started, this must not be cut")):
            for request in (*(() if self._over else self.plan.cancel), *self.plan.end):
                if not request.needs <= set(self.values):
                    continue  # it was never made
                try:
                    self._send(request)
                except DeployError as error:
                    self.show(f"warning: {error}")
                    failed = True
        if not self._over:
            self._fetch_what_there_is()
        if not failed:
            return ""
        by_hand = self.plan.by_hand
        for name, value in self.values.items():
            by_hand = by_hand.replace(name, value)
        return f"not everything could be ended, see that it ends: {by_hand or self.plan.logs}"

    def _fetch_what_there_is(self) -> None:
        """Bring back what the run had left when it was cut off; Ctrl-C leaves it there."""
        try:
            for request in self.plan.fetch:
                if self._send(request) is not None:
                    self.show(f"  {request.file}")
        except (DeployError, KeyboardInterrupt) as error:
            self.show(f"warning: the record was not brought back ({error or 'interrupted'})")
