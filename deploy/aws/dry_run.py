"""A plan as text: all requests in the order in which they would be sent."""

import json
from collections.abc import Iterator

from deploy.aws.plan import Plan, Request


def text(plan: Plan) -> str:
    """Return the requests of a successful run, followed by those sent after problems."""
    lines = []
    for number, request in enumerate(_in_order(plan), 1):
        lines += [f"# {number}. {_purpose(request)}", _body(request), ""]
    for request in plan.cancel:
        lines += [f"# if interrupted or at the time limit: {_purpose(request)}", _body(request), ""]
    for request in plan.start:
        if request.lost:
            text = f"# if the response is lost: {_purpose(request.lost.request)}"
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
    words = [f"poll the {request.purpose}" if request.until else request.purpose]
    if request.operation == "PutObject":
        words.append(f"(file {request.file})")
    if request.operation == "GetObject":
        words.append(f"(to {request.file})")
    if request.unless:
        words.append("unless it exists")
    if request.until:
        words.append(f"(repeated until {' or '.join(request.until.succeeded)})")
    if request.keeps:
        words.append(f"(the response contains {', '.join(request.keeps)})")
    return " ".join(words)


def _body(request: Request) -> str:
    content = json.dumps(request.parameters, indent=2)
    return f"{request.service} {request.operation} {content}"
