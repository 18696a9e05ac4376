"""A plan as text: every request in order, as it would be sent."""

import json
from collections.abc import Iterator

from deploy.aws.plan import Plan, Request


def text(plan: Plan) -> str:
    """Return the requests of a run that goes well, then those of one that does not."""
    lines = []
    for number, request in enumerate(_in_order(plan), 1):
        lines += [f"# {number}. {_purpose(request)}", _body(request), ""]
    for request in plan.cancel:
        lines += [f"# if it is interrupted or out of time: {_purpose(request)}", _body(request), ""]
    for request in plan.start:
        if request.lost:
            text = f"# if its answer is lost: {_purpose(request.lost.request)}"
            lines += [text, _body(request.lost.request), ""]
    if plan.diagnose:
        lines += [f"# if it fails: {plan.diagnose.purpose}", _body(plan.diagnose), ""]
    return "\n".join(lines)


def _in_order(plan: Plan) -> Iterator[Request]:
    for request in plan.requests:
        if request.unless:
            yield request.unless
        yield request


def _purpose(request: Request) -> str:
    words = [request.purpose]
    if request.operation == "PutObject":
        words.append(f"(file {request.file})")
    if request.operation == "GetObject":
        words.append(f"(to {request.file})")
    if request.unless:
        words.append("if it is not")
    if request.until:
        words.append(f"(again until {' or '.join(request.until.succeeded)})")
    if request.keeps:
        words.append(f"(its answer gives {', '.join(request.keeps)})")
    return " ".join(words)


def _body(request: Request) -> str:
    content = json.dumps(request.parameters, indent=2)
    return f"{request.service} {request.operation} {content}"
