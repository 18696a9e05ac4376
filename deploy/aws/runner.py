"""Carrying out a plan: start, follow, download the record, and always clean up."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from data.exit_status import FAILED, INTERRUPTED
from deploy.aws.client import ATTEMPTS, Aws, NotReachedError, ThrottledError
from deploy.aws.plan import Lost, Plan, Request, Until, look_up
from deploy.errors import DeployError
from experiments.processes.ending import undisturbed

#: Seconds between polls; AWS throttles more frequent ones.
PAUSE = 15.0
#: Timeout in seconds for operations that take a minute or two, such as stopping an application.
_SHORT_WAIT = 600.0
#: Attempts to find the resource of a request whose response was lost; lists may lag behind.
_LOOKUPS = 4
#: Part of EMR's message about a network or a role without the required tag.
_NOT_TAGGED = "insufficient EC2 permissions"

Show = Callable[[str], None]
Answer = TypeVar("Answer")


class RunFailedError(DeployError):
    """The job or the endpoint that was started failed."""

    exit_status = FAILED


class InterruptedRunError(DeployError):
    """The command was interrupted or terminated; the message says what was stopped on AWS."""

    exit_status = INTERRUPTED


@dataclass
class Runner:
    """Carries out one plan."""

    aws: Aws
    plan: Plan
    show: Show
    #: Placeholder -> value from an earlier response.
    values: dict[str, str] = field(default_factory=dict)
    #: True if something was started, or may have been.
    _begun: bool = False
    #: True if the run has ended by itself.
    _over: bool = False
    #: True while AWS is unreachable and the warning about it was shown.
    _gap_reported: bool = False

    def run(self) -> None:
        """Return when the run has succeeded and its record is downloaded.

        Raises
        ------
        DeployError
            If the run failed, was rejected or took too long. Everything that was started has been
            stopped; otherwise the message says what to do.
        """
        for warning in self.plan.warnings:
            self.show(f"warning: {warning}")
        problem: DeployError | None = None
        try:
            self._start_and_follow()
        except KeyboardInterrupt:
            done = "everything started was stopped" if self._begun else "nothing had been started"
            problem = InterruptedRunError(f"interrupted: {done}")
        except DeployError as error:
            problem = error
        finally:
            left = self._end()
        if left and isinstance(problem, InterruptedRunError):
            raise InterruptedRunError(f"interrupted: {left}")
        if left:
            raise RunFailedError(f"{problem or 'the run succeeded'}; {left}")
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
        except DeployError as error:  # the machines may have permissions that this user lacks
            warning: str | None = f"it could not be checked: {error}"
        else:
            warning = request.check(answer)
        if warning:
            self.show(f"warning: {warning}")

    def _start(self, request: Request) -> None:
        """Send ``request``, which is not interrupted, so that nothing is started unnoticed."""
        if request.until:
            self._send(request)
            return
        try:
            with undisturbed(lambda: self.show("stopping as soon as AWS responds"), then_end=True):
                self._send(request)
                self._begun = True
        except NotReachedError:
            self._begun = True  # AWS may have received the request
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
        """Return the response or the resource that the request created, and the paths in it."""
        for _ in range(ATTEMPTS):
            try:
                return self.aws.send(request, self.values), request.keeps
            except ThrottledError:  # the request was not carried out
                sleep(PAUSE)
            except NotReachedError as error:
                self.show(f"{error}; checking whether it was carried out")
                return self._find(lost, error), lost.keeps
        raise RunFailedError(f"AWS keeps throttling {request.operation}: try again later")

    def _find(self, lost: Lost, error: DeployError) -> dict[str, Any]:
        """Return the list entry of the resource that a request with a lost response created."""
        for _ in range(_LOOKUPS):
            sleep(PAUSE)
            try:
                answer = self.aws.send(lost.request, self.values)
            except NotReachedError:
                self._renew()
                continue
            except DeployError as refusal:  # the resource may exist nevertheless
                self.show(f"warning: {refusal}")
                break
            for one in look_up(answer, lost.path) or []:
                if one.get("Name") == lost.name:
                    return dict(one)
        raise RunFailedError(
            f"{error}; '{lost.name}' was not found but may still start: check with "
            f"'{lost.by_hand}' and terminate it"
        )

    def _follow(self, began: float) -> str | None:
        """Return None after success, else the reason for the failure."""
        assert self.plan.follow.until is not None
        state, reason = self._wait(
            self.plan.follow, self.plan.follow.until, began + self.plan.deadline
        )
        if state in self.plan.follow.until.succeeded:
            return None
        reason = "; ".join(filter(None, (reason, self._diagnosis())))
        if _NOT_TAGGED in reason:
            reason += " ('sparkdl-bench deploy iam emr-service-role' prints the required tags)"
        return f"{state}{': ' + reason if reason else ''}"

    def _diagnosis(self) -> str | None:
        """Return the cause of a failure; None if it is unavailable, as the record matters more."""
        if self.plan.diagnose is None:
            return None
        try:
            answer = self.aws.send(self.plan.diagnose, self.values)
        except DeployError as error:
            self.show(f"warning: {error}")
            return None
        return look_up(answer, self.plan.diagnosis)

    def _wait(self, request: Request, until: Until, deadline: float) -> tuple[str, str]:
        """Return the final state and the reason for it; the reason may be empty."""
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
                    f"{request.purpose}: still {state} at the time limit; increase --max-hours"
                )
            sleep(PAUSE)

    def _patiently(self, request: Request, deadline: float) -> dict[str, Any] | None:
        """Return the response, retrying while AWS is unreachable: the run continues there."""

        def report(state: RetryCallState) -> None:
            if not self._gap_reported:
                assert state.outcome is not None
                self.show(
                    f"warning: {state.outcome.exception()}; the run continues on AWS, retrying"
                )
                self._gap_reported = True

        def pause(seconds: float) -> None:
            sleep(seconds)
            self._renew()

        retrying = Retrying(
            retry=retry_if_exception_type(NotReachedError),
            stop=lambda _: monotonic() >= deadline,
            wait=wait_fixed(PAUSE),
            before_sleep=report,
            sleep=pause,
            reraise=True,
        )
        try:
            answer = retrying(self.aws.send, request, self.values)
        except NotReachedError as error:
            raise RunFailedError(f"{error}, until the time limit") from error
        self._gap_reported = False
        return answer

    def _renew(self) -> None:
        with suppress(DeployError):  # the old credentials may work again
            self.aws.renew()

    def _fetch(self, failure: str | None) -> None:
        """Download the record, of a failed run too."""
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
            raise RunFailedError(f"the run ended in state {failure}; see {self.plan.logs}")
        if problems:
            raise RunFailedError("the record could not be downloaded: " + "; ".join(problems))

    def _end(self) -> str:
        """Stop everything that was started; every request is sent even if another fails.

        Returns
        -------
        str
            Instructions for what could not be stopped; empty if everything was stopped.
        """
        if not self._begun:
            return ""
        failed = False
        with undisturbed(lambda: self.show("still stopping what was started, please wait")):
            for request in (*(() if self._over else self.plan.cancel), *self.plan.end):
                if not request.needs <= set(self.values):
                    continue  # the resource was never created
                try:
                    self._send(request)
                except DeployError as error:
                    self.show(f"warning: {error}")
                    failed = True
        if not self._over:
            self._fetch_partial()
        if not failed:
            return ""
        by_hand = self.plan.by_hand
        for name, value in self.values.items():
            by_hand = by_hand.replace(name, value)
        return f"not everything could be stopped, stop it by hand: {by_hand or self.plan.logs}"

    def _fetch_partial(self) -> None:
        """Download the partial record of an interrupted run; Ctrl-C skips the download."""
        try:
            for request in self.plan.fetch:
                if self._send(request) is not None:
                    self.show(f"  {request.file}")
        except (DeployError, KeyboardInterrupt) as error:
            self.show(f"warning: the record was not downloaded ({error or 'interrupted'})")
