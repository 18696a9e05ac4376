"""Creation, update and deletion of a deployment."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from deploy.aws.client import Aws
from deploy.aws.lambda_.options import FunctionOptions
from deploy.aws.lambda_.part import URL, Part
from deploy.aws.lambda_.resources import identification, parts, preparation
from deploy.aws.plan import Request, look_up
from deploy.aws.runner import InterruptedRunError, RunFailedError, Show
from deploy.errors import DeployError
from experiments.processes.ending import undisturbed

#: Seconds between two attempts, and for all of them.
_PAUSE, _LIMIT = 3.0, 120.0
#: Part of Lambda's message about a role that was created only just now.
_ROLE_IS_NEW = "cannot be assumed by Lambda"
#: Largest number of resources with the same name that a deletion removes.
_REPEATS = 10
_NO_ENDPOINT = "Could not find endpoint"


@dataclass
class Deployment:
    """The deployment with some options, which may exist or not."""

    aws: Aws
    options: FunctionOptions
    show: Show
    #: Command that deletes everything.
    by_hand: str
    #: Placeholder -> value from an earlier response.
    values: dict[str, str] = field(default_factory=dict)

    def apply(self) -> str:
        """Create the parts that do not exist, update the others, and return the address.

        Raises
        ------
        DeployError
            If a request failed or the command was interrupted; the parts that this call has
            created are deleted, otherwise the message says how to delete them.
        """
        self._prepare()
        begun: list[Part] = []
        try:
            for part in parts(self.options):
                self._apply(part, begun)
        except KeyboardInterrupt:
            left = self._undo(begun)
            done = "everything created was deleted" if begun else "nothing was created"
            raise InterruptedRunError(f"interrupted: {left or done}") from None
        except DeployError as error:
            left = self._undo(begun)
            raise RunFailedError(f"{error}; {left}" if left else str(error)) from error
        return self.values[URL]

    def remove(self) -> list[str]:
        """Delete all parts and return the titles of those that existed.

        Raises
        ------
        DeployError
            If a request failed; all others were sent nevertheless.
        """
        for request in identification():
            self._send(request)
        removed, left = self._remove(parts(self.options))
        if left:
            raise RunFailedError(left)
        return removed

    def _prepare(self) -> None:
        try:
            for request in preparation(self.options):
                self._send(request)
        except DeployError as error:
            if _NO_ENDPOINT not in str(error):
                raise
            raise DeployError(
                f"there is no endpoint {self.options.endpoint} in {self.options.region}: "
                "'sparkdl-bench deploy sagemaker serve' creates one and prints its name"
            ) from error

    def _apply(self, part: Part, begun: list[Part]) -> None:
        if self._found(part):
            for request in part.update:
                self._send(request)
            return
        begun.append(part)
        for request in part.create:
            self._create(request)

    def _create(self, request: Request) -> None:
        """Send ``request``, which is not interrupted, so that nothing is created unnoticed."""
        deadline = monotonic() + _LIMIT
        while True:
            try:
                with undisturbed(
                    lambda: self.show("stopping as soon as AWS responds"), then_end=True
                ):
                    self._send(request)
            except DeployError as error:
                if _ROLE_IS_NEW not in str(error) or monotonic() >= deadline:
                    raise
            else:
                return
            self.show("  waiting until Lambda knows the new role")
            sleep(_PAUSE)

    def _found(self, part: Part) -> bool:
        """Return whether a part exists, and keep its values."""
        answer = self._answer(part.find)
        if answer is None:
            return False
        entry = part.entry(answer, self.values) if part.entry else answer
        if entry is None:
            return False
        self._keep(part.keeps, entry)
        return True

    def _send(self, request: Request) -> None:
        if request.until is None:
            self.show(f"{request.operation}: {request.purpose}")
            self._keep(request.keeps, self._answer(request))
            return
        deadline = monotonic() + _LIMIT
        while True:
            answer = self._answer(request)
            state = str(look_up(answer, request.until.path) or "Pending")
            if state in request.until.succeeded:
                return
            if state in request.until.failed or monotonic() >= deadline:
                reasons = (look_up(answer, path) for path in request.until.reasons)
                reason = next(filter(None, reasons), "no reason is given")
                raise RunFailedError(f"{request.purpose}: {state} ({reason})")
            sleep(_PAUSE)

    def _answer(self, request: Request) -> dict[str, Any] | None:
        filled = {"parameters": _filled(request.parameters, self.values)}
        answer = self.aws.send(request.model_copy(update=filled), {})
        pages = [answer or {}]
        while pages[-1].get("NextToken"):
            token = {"NextToken": pages[-1]["NextToken"]}
            following = {"parameters": filled["parameters"] | token}
            pages.append(self.aws.send(request.model_copy(update=following), {}) or {})
        if answer is not None and len(pages) > 1:
            answer["Items"] = [item for page in pages for item in page["Items"]]
        return answer

    def _keep(self, keeps: Mapping[str, str], answer: Any) -> None:
        for name, path in keeps.items():
            self.values[name] = str(look_up(answer, path))

    def _undo(self, begun: list[Part]) -> str:
        """Delete the parts that this call has created, and return what to do if that fails."""
        with undisturbed(lambda: self.show("still deleting what was created, please wait")):
            return self._remove(tuple(begun))[1]

    def _remove(self, created: tuple[Part, ...]) -> tuple[list[str], str]:
        removed, failed = [], False
        for part in reversed([part for part in created if part.delete]):
            try:
                for _ in range(_REPEATS if part.may_repeat else 1):
                    if not self._found(part):
                        break
                    for request in part.delete:
                        self._send(request)
                    removed.append(part.title)
            except DeployError as error:
                self.show(f"warning: {error}")
                failed = True
        left = f"not everything could be deleted, repeat it with: {self.by_hand}" if failed else ""
        return removed, left


def planned(options: FunctionOptions) -> str:
    """Return all requests as text: those of a first deployment, then those in other cases."""
    lines: list[str] = []
    for request in preparation(options):
        lines += _block(request)
    every = parts(options)
    for part in every:
        lines += _block(part.find)
        for request in part.create:
            lines += _block(request)
    for part in every:
        for request in part.update:
            lines += _block(request, f"if the {part.title} exists: ")
    for request in _deletions(every):
        lines += _block(request, "if a request fails, and with --delete: ")
    return "\n".join(lines)


def planned_removal(options: FunctionOptions) -> str:
    """Return the requests that delete everything as text."""
    lines: list[str] = []
    for request in identification():
        lines += _block(request)
    for part in reversed(parts(options)):
        if part.delete:
            for request in (part.find, *part.delete):
                lines += _block(request)
    return "\n".join(lines)


def _deletions(every: tuple[Part, ...]) -> Iterator[Request]:
    for part in reversed(every):
        yield from part.delete


def _block(request: Request, condition: str = "") -> list[str]:
    poll = f" (repeated until {' or '.join(request.until.succeeded)})" if request.until else ""
    body = json.dumps(request.parameters, indent=2, default=_described)
    return [
        f"# {condition}{request.purpose}{poll}",
        f"{request.service} {request.operation} {body}",
        "",
    ]


def _described(content: bytes) -> str:
    """Return the description of an archive, with its checksum as Lambda shows it."""
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"({len(content)} bytes, CodeSha256 {checksum})"


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return ``value`` with the placeholders replaced, also within texts such as ARNs."""
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, values) for item in value]
    if isinstance(value, str):
        for name, found in values.items():
            value = value.replace(name, found)
    return value
