"""Errors that the service reports to its clients."""

from collections.abc import Mapping
from typing import Literal

from serving.errors import ServingError

#: Kinds of rejected images, as counted by the metrics.
Kind = Literal["not_an_image", "damaged", "too_large", "too_slow", "unusable"]


class RequestError(ServingError):
    """Error that ends a request; the message is one line for the client.

    Parameters
    ----------
    status
        HTTP status.
    reason
        Message.
    headers
        Additional headers of the response.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


class RejectedImageError(RequestError):
    """Error for an image that cannot be classified: status 415 if it is none, else 422."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(415 if kind == "not_an_image" else 422, reason)
        self.kind = kind


class UnavailableError(RequestError):
    """Error for a request that can be repeated later: status 503 with ``Retry-After``.

    Parameters
    ----------
    reason
        Message.
    retry_seconds
        Seconds after which the client should repeat the request.
    """

    def __init__(self, reason: str, retry_seconds: int = 1) -> None:
        super().__init__(503, reason, {"Retry-After": str(retry_seconds)})
