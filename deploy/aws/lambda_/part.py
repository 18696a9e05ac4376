"""One resource of a deployment, as the requests that find, create, update and delete it."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from deploy.aws.plan import Request

#: Placeholders for values of responses.
ACCOUNT, ROLE, FUNCTION, API, URL, INTEGRATION = (
    "<account>", "<role>", "<function>", "<api>", "<url>", "<integration>",
)  # fmt: skip

#: Returns the entry of a part in the response to its ``find``, or None.
Entry = Callable[[dict[str, Any], dict[str, str]], dict[str, Any] | None]


class Part(BaseModel):
    """One resource."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    find: Request
    #: Selects the resource in the response; None if it is found with any response.
    entry: Entry | None = None
    #: Placeholder -> dotted path in the entry.
    keeps: dict[str, str] = {}
    create: tuple[Request, ...]
    #: Requests if the resource exists.
    update: tuple[Request, ...] = ()
    #: Requests that delete it; empty if it is deleted with another part.
    delete: tuple[Request, ...] = ()
    #: True if several resources can have the same name.
    may_repeat: bool = False


def request(
    service: str,
    operation: str,
    purpose: str,
    keeps: dict[str, str] | None = None,
    **parameters: Any,
) -> Request:
    """Return a request that keeps values of its response, as placeholder -> dotted path."""
    return Request(
        service=service,
        operation=operation,
        purpose=purpose,
        keeps=keeps or {},
        parameters=parameters,
    )


def find(service: str, operation: str, what: str, **parameters: Any) -> Request:
    """Return a request for a resource that may not exist."""
    sent = request(service, operation, f"find the {what}", **parameters)
    return sent.model_copy(update={"optional": True})


def delete(service: str, operation: str, what: str, **parameters: Any) -> Request:
    """Return a request that deletes a resource, which may not exist."""
    sent = request(service, operation, f"delete the {what}", **parameters)
    return sent.model_copy(update={"optional": True})
